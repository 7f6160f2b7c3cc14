"""What the tests of this folder are given."""

from tests.ui.fixtures import ada, app, bob, channel, config, ends, env, studio

__all__ = ["ada", "app", "bob", "channel", "config", "ends", "env", "studio"]
