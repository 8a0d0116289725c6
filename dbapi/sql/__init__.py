"""All SQL of this service, in functions named after the question."""
