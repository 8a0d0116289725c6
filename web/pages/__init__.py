"""What each URL answers."""
