"""Long answers that a user can interrupt."""

from __future__ import annotations

__all__ = ("STORIES",)

#: Told one after the other, as often as the user asks.
STORIES = (
    (
        "Once there was a lighthouse that nobody needed any more. Ships found their way by satellite, and the"
        " keeper had long gone to live with his daughter. But the lamp had been built well, and every evening"
        " it lit itself, and every morning it went out. The gulls set their clocks by it. A girl who lived "
        "across the bay counted its flashes to fall asleep: one, two, three, and a pause; one, two, three, "
        "and a pause. One winter night a storm took the power of the whole coast, the satellites too as far "
        "as anybody could tell, and a small boat was out there with the girl's father in it. He saw nothing "
        "but water. Then, far off, he saw a light: one, two, three, and a pause. He had been told about that "
        "light every evening for years, and had never once listened. Now he turned the boat towards it. When "
        "he came home he sat down at the girl's bed, and they counted together until it was morning. The next"
        " spring the town painted the lighthouse white, and put a bench in front of it, and on the bench a "
        "sign that says: it is allowed to be of no use for a long time. And that is the end of the story."
    ),
    (
        "There once was a clockmaker who was always late. Her clocks were the best in the land, and every one"
        " of them was right, but whenever she looked at one she saw something to improve, and when she had "
        "improved it, an hour was gone. So the mayor made a rule that no clock was to hang in her workshop. "
        "Now she worked in peace, and came even later. Then the baker's boy had an idea. He brought her a "
        "loaf each morning, still warm, and told her to come when it was cold. She put it on the window sill,"
        " and when the smell was gone, she put on her coat. She was never late again. Years after, people "
        "asked her for the secret of her finest clock, and she showed them a window sill and a crumb. And "
        "that is the end of the story."
    ),
)
