"""Every command that the documents show runs, and prints what they show."""

import pages
import pytest

ELSEWHERE = {
    "make demo": "run by the tests of the demo",
    "make test": "this run",
    "make bench": "takes minutes",
    "make simulate": "takes minutes",
    f"proa drill examples/payments --how kill --global-store {pages.DATABASE}": "drilled in tests/e2e",
    "proa drill examples/registration --lose eu-west-1 --how kill --rate 100 --lease-s 1": "drilled in tests/e2e",
    "proa drill examples/payments --lose eu-west-1 --how kill --rate 200 --duration-s 6": "drilled in tests/e2e",
    "proa drill examples/authorizer --lose eu-west-1 --how kill --approve-after-s 1 --rate 100 --duration-s 9": (
        "drilled in tests/e2e"
    ),
    "proa drill examples/payouts --lose eu-west-1 --how kill --rate 20 --lease-s 1": "drilled in tests/e2e",
}


def parameter(page):
    """One page as a test; those that start systems are marked."""
    marks = [pytest.mark.processes] if pages.slow(page) else []
    return pytest.param(page, id=str(page.relative_to(pages.ROOT)), marks=marks)


WITH_COMMANDS = [page for page in pages.PAGES if any(block.language == "console" for block in pages.runnable(page))]


@pytest.fixture
def folder(tmp_path):
    """A reader's folder: the checkout's examples are there."""
    (tmp_path / "examples").symlink_to(pages.ROOT / "examples")
    return tmp_path


@pytest.mark.parametrize("page", [parameter(page) for page in WITH_COMMANDS])
def test_the_commands_of_a_page_run_as_shown(page, folder, request):
    needs_database = any(pages.DATABASE in block.text for block in pages.runnable(page))
    shell = pages.Shell(folder, request.getfixturevalue("postgres_server").url if needs_database else "")
    try:
        for block in pages.runnable(page):
            follow(shell, block)
    finally:
        shell.close()


def follow(shell, block):
    """Do what one block says."""
    if name := block.option("file"):
        target = shell.folder / name.removeprefix("+")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a" if name.startswith("+") else "w") as file:
            file.write(shell.here(block.text))
        return
    for command, output in block.commands():
        if said := block.option("background"):
            shell.run_background(command, said)
            continue
        code, printed = shell.run(command)
        assert code == 0, f"$ {command}\n{printed}"
        assert pages.shown([shell.here(line) for line in output], printed), f"$ {command}\n{printed}"


def test_what_is_not_run_here_is_named_with_its_reason():
    apart = {
        command.text
        for page in pages.PAGES
        for block in pages.blocks(page)
        if block.language == "console" and block.has("elsewhere")
        for command in block.commands()
    }
    assert apart == set(ELSEWHERE)


def test_the_makefile_has_the_targets_that_the_documents_name():
    makefile = (pages.ROOT / "Makefile").read_text()
    made = [command.removeprefix("make ") for command in ELSEWHERE if command.startswith("make ")]
    assert [target for target in made if f"\n{target}:" not in makefile] == []
