"""Widgets that several pages share: tables, charts, links, texts."""
