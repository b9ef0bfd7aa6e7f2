"""The list of tuning studies that are stored next to the results."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pandas as pd
import streamlit as st

from leaderboard_app.widgets.links import page_url

EMPTY = """
**No tuning studies yet.** A study searches for good settings on train and validation; it never reads the test split:

```
pip install -e ".[tune]"
python -m bench tune --model fru --task digits --budget 10k --trials 12
```

For every task of a suite, with the number of trials that the suite allows each architecture:

```
python -m bench tune --suite quick-v2 --models fru,lstm --budget 10k --save-preset
```
"""


def show(overviews: Sequence[Mapping[str, Any]], *, alt: str) -> None:
    """Draw a row for each study.

    Args:
        alt: what the table shows, for those who can't see it.
    """
    frame = pd.DataFrame([
        {
            "study": f"{page_url('studies', name=each['study'])}#{quote(each['study'])}",
            "best on validation": each["best"],
            **each["trials"],
            "training steps": each["steps"],
        }
        for each in overviews
    ])  # fmt: skip
    columns = {
        "study": st.column_config.LinkColumn(display_text="#(.*)$", width="large"),
        "best on validation": st.column_config.NumberColumn(format="%.4g"),
        "training steps": st.column_config.NumberColumn(format="localized"),
    }
    st.dataframe(frame, hide_index=True, column_config=columns, placeholder="", alt=alt)
