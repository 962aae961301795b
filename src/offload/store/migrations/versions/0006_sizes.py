"""A task that ran out of memory is run again in a larger size.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("size", sa.Integer(), nullable=False, server_default="0"))
    op.drop_index("ix_tasks_job_state_position", "tasks")
    op.create_index("ix_tasks_job_state_size_position", "tasks", ["job", "state", "size", "position"])
