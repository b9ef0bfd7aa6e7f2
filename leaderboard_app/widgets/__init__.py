"""What several pages share: tables, charts, links, texts."""
