"""Small modules shared by the services: settings, text cleaning, logging, shutdown, diagnostics."""
