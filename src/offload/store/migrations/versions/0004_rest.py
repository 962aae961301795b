"""A task gets its row when it is first leased.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Added one by one: SQLite can only do more by making the table anew, and dropping it would take all that
    # refers to it along.
    op.add_column("jobs", sa.Column("begun", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("rest_state", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("rest_reason", sa.Text(), nullable=True))
    # Until now every task had its row.
    op.execute("UPDATE jobs SET begun = pending + running + succeeded + failed + cancelled")
