"""Recipes that turn gold into models. Nothing here is loaded while serving."""
