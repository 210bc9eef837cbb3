from __future__ import annotations

import re

from tuner_gan import errors


def drawn() -> dict[str, list[str]]:
    """The tree in the docstring: each class with its bases, that of the branch first."""
    found: dict[str, list[str]] = {}
    branch: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        node = re.fullmatch(r"    (?P<lines>[│├└─ ]*)(?P<name>\w+Error)(?: \((?P<also>\w+)\))?(?: +\S.*)?", line)
        if node is not None:
            del branch[len(node["lines"]) // 4 :]
            found[node["name"]] = [*branch[-1:], *([node["also"]] if node["also"] else [])]
            branch.append(node["name"])
    return found


def test_the_tree_at_the_top_is_that_of_the_classes() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    assert drawn() == {
        one.__name__: [base.__name__ for base in one.__bases__ if base is not Exception] for one in classes
    }
