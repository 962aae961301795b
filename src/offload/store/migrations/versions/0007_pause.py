"""Why a job is paused, and whether the breaker has paused it before.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("pause", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("tripped", sa.Boolean(), nullable=False, server_default=sa.false()))
