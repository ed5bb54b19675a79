"""The page as one HTML file that needs no network.

In: the data of a page. Out: HTML. Data are in a JSON block that no browser runs; a policy in the page allows the
page's own scripts only, by their hashes, and forbids every connection.
"""

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from capacity.report.page.charts import scripts, specifications

_STATIC = files("capacity.report.page") / "static"
_SCRIPTS = ("base.js", "table.js", "law.js", "run.js", "people.js", "live.js", "main.js")
"""The page's own scripts, in order; they share one scope."""
_AWAY = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""Characters that could end a block of JSON in HTML, or a line of JavaScript, and what JSON has in their place."""


def page(data: Mapping[str, Any], *, live: bool = False) -> str:
    """The page of `data.page_data`. live: it asks its server for the runs under way."""
    own = _own_scripts()
    return Template((_STATIC / "page.html").read_text(encoding="utf-8")).substitute(
        policy=html.escape(policy(live=live)),
        title=html.escape(f"{data['title']}: bits of knowledge per parameter"),
        style=(_STATIC / "page.css").read_text(encoding="utf-8"),
        question=html.escape(str(data.get("question") or data["title"])),
        answer=html.escape(str(data["answer"])),
        data=as_block({**data, "live": live, "charts": specifications()}),
        charts=scripts(),
        scripts=own,
    )


def as_block(data: Any) -> str:
    """JSON that can stand inside a script element: nothing in it ends the element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _AWAY.items():
        text = text.replace(character, escape)
    return text


def policy(*, live: bool) -> str:
    """The content security policy: the page's own scripts alone, no connection; live: to its own server."""
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in (scripts(), _own_scripts()))
    connect = " connect-src 'self';" if live else ""
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:;{connect} "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _own_scripts() -> str:
    parts = [(_STATIC / name).read_text(encoding="utf-8") for name in _SCRIPTS]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


@cache
def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
