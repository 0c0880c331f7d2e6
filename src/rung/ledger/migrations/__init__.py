"""How the ledger's tables came to be, one file a step. Alembic runs them; nothing else imports this."""
