"""The little that both services need: settings from the environment, the text rule, log lines, draining."""
