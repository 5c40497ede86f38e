# /// script
# requires-python = ">=3.11"
# dependencies = ["nox[uv]"]
# ///
"""Every way to run, check and build the project, each in its own environment from uv.lock."""

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]


def _install(session: nox.Session, *groups: str, project: bool = True) -> None:
    """Bring the session's environment to what uv.lock says."""
    session.run_install(
        "uv",
        "sync",
        "--locked",
        "--no-default-groups",
        *(f"--group={group}" for group in groups),
        *(() if project else ("--no-install-project",)),
        f"--python={session.virtualenv.location}",
        env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location},
        silent=True,
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, and who may import whom."""
    _install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    _install(session, "types", "demo")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run tests and doctests."""
    _install(session, "test")
    session.run("pytest", "--cov", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Go from two generators to a filter on a photo; look at demo/. Also: -- --workshop."""
    _install(session, "demo")
    quick = ["--seconds", "20", "--pairs", "24"] if "--quick" in session.posargs else []
    others = [argument for argument in session.posargs if argument != "--quick"]
    session.run("snowai", "demo", *others, *quick)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure: nox -s bench -- networks | stylegan2 | teachers | pairs_cute [options]."""
    _install(session, "bench")
    name, *options = session.posargs or ["networks"]
    session.run("python", f"benchmarks/{name}.py", *options)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, warnings as errors, into docs/_build."""
    _install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def examples(session: nox.Session) -> None:
    """Execute the notebooks."""
    _install(session, "examples")
    # The tests' own options and fixtures need packages that notebooks do without.
    plain = ("--noconftest", "--override-ini=addopts=")
    session.run("pytest", *plain, "--nbmake", "--nbmake-timeout=600", "examples")
