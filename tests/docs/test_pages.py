"""No page shows commands that nobody runs."""

import pytest

from tests.lab.test_docs import ELSEWHERE, ROOT


@pytest.mark.parametrize("page", ELSEWHERE)
def test_the_test_that_is_said_to_run_a_page_names_it(page: str):
    assert (ROOT / "docs" / "howto" / f"{page}.md").exists()
    assert page in (ROOT / "tests" / ELSEWHERE[page]).read_text()
