"""A page as one answer: style and scripts written into it and named by their hash, so that nothing else can run."""

from starlette.responses import HTMLResponse

from cfx.reporting.progression_widget import asset, source_hash

_REST = "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def page(name: str) -> HTMLResponse:
    """The page `name` (`page` or `study`) with the shared widget inside.

    Its policy lets it run its own script and style, show pictures that came as data, and ask this server; nothing else.
    """
    style = asset("progression.css") + asset("page.css", "cfx.viewer")
    style += asset("study.css", "cfx.viewer") if name == "study" else ""
    script = asset("progression.js") + asset(f"{name}.js", "cfx.viewer")
    text = asset(f"{name}.html", "cfx.viewer")
    text = text.replace("/* style */", style).replace("/* script */", script)
    policy = f"default-src 'none'; script-src {source_hash(script)}; style-src {source_hash(style)}; {_REST}"
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})
