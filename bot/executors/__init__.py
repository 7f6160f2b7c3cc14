"""Where GPU code runs. Each executor builds its Runner inside its own worker."""
