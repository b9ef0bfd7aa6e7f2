"""Charts as the browser's Vega draws them (`static/vega.js`).

They are compiled here, so that readers load neither the compiler of Vega-Lite nor anything from another host.
"""

import json
from typing import Any

from vl_convert import vegalite_to_vega

from leaderboard_app.site.pages import File


def chart(path: str, spec: dict[str, Any]) -> File:
    """Compile a Vega-Lite chart. It is drawn as wide as its place on the page, in the colours of the page's theme."""
    compiled = vegalite_to_vega({**spec, "width": "container"})
    del compiled["background"]  # white, also where the page is dark
    return File(path, json.dumps(compiled, separators=(",", ":"), allow_nan=False).encode())
