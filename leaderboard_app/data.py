"""What the pages read. Streamlit runs a page's script again at every click, so what is costly is kept between runs."""

import streamlit as st

from db.errors import StoreError
from db.store import Store


def open_store() -> Store:
    """The database, read-only; where it can't be read, the page says why and ends."""
    try:
        return Store(read_only=True)
    except StoreError as error:
        st.error(str(error))
        st.stop()
