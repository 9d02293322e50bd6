"""What is remembered: tables, migrations and repositories (SQLite, later PostgreSQL by URL)."""
