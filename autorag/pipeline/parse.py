"""Parsing: raw documents to title and text, cached per document."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np

from autorag.documents import Document, RawDocument
from autorag.errors import DocumentsError
from autorag.pipeline.artifacts import ArtifactStore, from_json_array, json_array
from autorag.pipeline.items import ItemCache, fixed_batches
from autorag.stages import parse_key

BATCH = 2000
_HEADING = re.compile(r"^#\s+(.+)$", re.MULTILINE)


def parse_documents(
    raw: Sequence[RawDocument], store: ArtifactStore
) -> tuple[list[Document], bool]:
    """Parse documents, taking what is known from the store.

    Returns:
        the documents, and whether all of them were known.

    Raises:
        DocumentsError: a document that its format's parser rejects.
    """
    keys = [bytes.fromhex(parse_key(d.format, d.raw_hash)) for d in raw]
    distinct = list(dict.fromkeys(keys))
    source = dict(zip(keys, raw, strict=True))

    def compute(positions: Sequence[int]) -> list[np.ndarray]:
        return [json_array(parse(source[distinct[i]])) for i in positions]

    batches = fixed_batches(len(distinct), BATCH)
    filled = ItemCache(store, "parse", "documents").fill(distinct, compute, batches)
    parsed = {k: from_json_array(filled.items[i]) for i, k in enumerate(distinct)}
    documents = [Document(d.id, *parsed[k]) for d, k in zip(raw, keys, strict=True)]
    return documents, filled.computed == 0


def parse(document: RawDocument) -> tuple[str, str]:
    """Title and text of one document."""
    if document.format == "record":
        return document.title, document.raw.decode()
    if document.format == ".pdf":
        return document.title, _pdf(document)
    try:
        text = document.raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentsError(
            f"{document.id}: not UTF-8 text ({error.reason})", key=document.id
        ) from None
    if document.format in (".html", ".htm"):
        return _html(document.title, text)
    heading = _HEADING.search(text) if document.format == ".md" else None
    return (heading[1].strip() if heading else document.title), text


def _html(title: str, markup: str) -> tuple[str, str]:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(markup)
    named = tree.css_first("title")
    title = named.text(strip=True) or title if named is not None else title
    tree.strip_tags(["script", "style", "noscript", "template", "head"])
    body = tree.body
    text = body.text(separator="\n") if body is not None else ""
    return title, re.sub(r"\s*\n\s*", "\n", text).strip()


def _pdf(document: RawDocument) -> str:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        pages = PdfReader(io.BytesIO(document.raw)).pages
        return "\n\n".join(page.extract_text() for page in pages)
    except (PyPdfError, ValueError, KeyError) as error:
        raise DocumentsError(f"{document.id}: unreadable PDF ({error})", key=document.id) from error
