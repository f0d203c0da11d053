"""By which names the Temporal UI of this machine is known."""

from __future__ import annotations

from towpath.api.routes.codec import ui_origins


def test_the_ui_is_known_by_each_name_of_this_machine() -> None:
    assert ui_origins("http://127.0.0.1:8233") == {
        f"http://{name}:8233" for name in ("127.0.0.1", "localhost", "[::1]")
    }
    assert ui_origins("https://temporal.example.com/ui") == {"https://temporal.example.com"}
    assert ui_origins(None) == set()
