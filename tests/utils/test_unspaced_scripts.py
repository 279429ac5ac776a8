"""Texts are joined as their languages are written."""

from __future__ import annotations

import pytest

from rtvi_plugins.utils.unspaced_scripts import join_texts


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        ([], ""),
        ([""], ""),
        (["", "one", "", "two"], "one two"),
        (["one.", "Two."], "one. Two."),
        (["你好。", "世界"], "你好。世界"),
        (["สวัสดี", "ครับ"], "สวัสดีครับ"),
        (["こんにちは", "world", "です"], "こんにちは world です"),
        (["안녕", "하세요"], "안녕 하세요"),  # Korean has spaces
    ],
)
def test_texts_are_joined(texts: list[str], joined: str) -> None:
    """A space stands between two texts if one side of it writes spaces. Empty texts add none."""
    assert join_texts(texts) == joined
