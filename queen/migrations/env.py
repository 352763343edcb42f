"""Alembic's entry: one connection, one transaction, no logging of its own."""

from alembic import context
from sqlmodel import SQLModel

from queen import rows
from queen.database import Database

assert rows.Job.__tablename__ == "job"

database = Database(context.config.attributes["url"])
with database.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=database.is_sqlite,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
database.close()
