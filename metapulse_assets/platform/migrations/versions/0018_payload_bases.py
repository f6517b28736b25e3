"""Answers stored as what they differ in from an earlier one."""

import sqlalchemy as sa
from alembic import op

from metapulse_assets.platform.payload_coding import pack
from metapulse_assets.platform.raw_payloads import asked_url, load_payload

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLE = "raw_payloads"
URL, BODY = "what was asked, without secrets", "the body, zlib-compressed"


def upgrade() -> None:
    """Apply. Nothing is rewritten: what is stored stays as it is."""
    op.add_column(
        TABLE,
        sa.Column(
            "base_id",
            sa.BigInteger(),
            nullable=True,
            comment="answer of the same hour to a question of the same form; null: none",
        ),
    )
    op.alter_column(
        TABLE,
        "url",
        existing_type=sa.Text(),
        nullable=True,
        comment=f"{URL}; null: the same as base_id",
        existing_comment=URL,
    )
    op.alter_column(
        TABLE,
        "body",
        existing_type=sa.LargeBinary(),
        comment=f"{BODY}; against that of base_id, if any",
        existing_comment=BODY,
    )


def downgrade() -> None:
    """Undo: what is stored against another answer is stored by itself again."""
    connection = op.get_bind()
    payloads = sa.table(TABLE, sa.column("payload_id"), sa.column("base_id"), sa.column("url"), sa.column("body"))
    ids = connection.execute(sa.select(payloads.c.payload_id).where(payloads.c.base_id.is_not(None))).scalars().all()
    for payload_id in ids:
        whole = {"body": pack(load_payload(connection, payload_id)), "url": asked_url(connection, payload_id)}
        connection.execute(payloads.update().where(payloads.c.payload_id == payload_id).values(**whole))
    op.alter_column(
        TABLE, "url", existing_type=sa.Text(), nullable=False, comment=URL, existing_comment=f"{URL}; null: the same as base_id"
    )
    op.alter_column(
        TABLE,
        "body",
        existing_type=sa.LargeBinary(),
        comment=BODY,
        existing_comment=f"{BODY}; against that of base_id, if any",
    )
    op.drop_column(TABLE, "base_id")
