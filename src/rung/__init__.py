"""Rung: small language models in production. Answer every case on the lowest rung that holds."""
