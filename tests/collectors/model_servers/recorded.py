"""Recorded pages, in the format of the servers, with numbers of our own."""

from __future__ import annotations

from pathlib import Path

from collectors.model_servers import Kind, Page, parse_page

FOLDER = Path(__file__).parent / "pages"


def page(name: str, server: Kind, at: float = 100.0) -> Page:
    return parse_page(text(f"{name}.txt"), server, at)


def text(name: str) -> str:
    return (FOLDER / name).read_text()
