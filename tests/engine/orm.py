"""Models of an application that uses SQLAlchemy, and the tables that they are of."""

import enum
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    DateTime,
    Enum,
    ForeignKey,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import INT4RANGE, JSONB, Range
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

TABLES = """
    create type public.mood as enum ('fine', 'angry');
    create table public.invoices (
        id uuid primary key default gen_random_uuid(),
        tenant_id uuid not null default reactor.current_tenant(),
        number text not null unique,
        total numeric(12, 2) not null default 0,
        reminded_at timestamptz
    );
    create table public.lines (
        id bigint generated always as identity primary key,
        tenant_id uuid not null default reactor.current_tenant(),
        invoice_id uuid not null references public.invoices (id),
        what text not null
    );
    create table public.everything (
        id bigint generated always as identity primary key,
        tenant_id uuid not null default reactor.current_tenant(),
        amount numeric(20, 6), rate double precision, key uuid, mood public.mood, tags text[], counts int[],
        doc json, data jsonb, documents jsonb[], at timestamptz, day date, hour time, wait interval,
        blob bytea, span int4range, yes boolean
    );
    select reactor.protect('public.invoices'), reactor.protect('public.lines'),
        reactor.protect('public.everything');
    grant usage on type public.mood to public;
"""


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True)}


class Invoice(Base):
    __tablename__ = "invoices"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    tenant_id: Mapped[uuid.UUID] = mapped_column(server_default=text("reactor.current_tenant()"))
    number: Mapped[str] = mapped_column(Text, unique=True)
    total: Mapped[Decimal] = mapped_column(Numeric(12, 2), default=Decimal(0))
    reminded_at: Mapped[datetime | None]
    lines: Mapped[list["Line"]] = relationship(back_populates="invoice", lazy="selectin")


class Line(Base):
    __tablename__ = "lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(server_default=text("reactor.current_tenant()"))
    invoice_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("invoices.id"))
    what: Mapped[str]
    invoice: Mapped[Invoice] = relationship(back_populates="lines")


class Mood(enum.Enum):
    fine = "fine"
    angry = "angry"


class Everything(Base):
    __tablename__ = "everything"

    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    rate: Mapped[float | None]
    key: Mapped[uuid.UUID | None]
    mood: Mapped[Mood | None] = mapped_column(Enum(Mood, name="mood"))
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    counts: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    doc: Mapped[Any] = mapped_column(JSON)
    data: Mapped[Any] = mapped_column(JSONB)
    documents: Mapped[Any] = mapped_column(ARRAY(JSONB))
    at: Mapped[datetime | None]
    day: Mapped[date | None]
    hour: Mapped[time | None]
    wait: Mapped[timedelta | None] = mapped_column(Interval)
    blob: Mapped[bytes | None] = mapped_column(LargeBinary)
    span: Mapped[Range[int] | None] = mapped_column(INT4RANGE)
    yes: Mapped[bool | None]


WHOLE: dict[str, Any] = {
    "amount": Decimal("12345.678901"),
    "rate": 0.1,
    "key": uuid.UUID(int=7),
    "mood": Mood.angry,
    "tags": ["a", 'b"c', "Ü"],
    "counts": [1, None, 3],
    "doc": {"a": [1, 2.5, None, "x"]},
    "data": {"text": "it's", "deep": {"list": [{"n": 1}]}},
    "documents": [{"n": 1}, "text", [2]],
    "at": datetime(2026, 5, 1, 12, tzinfo=UTC),
    "day": date(2026, 5, 1),
    "hour": time(12, 30),
    "wait": timedelta(days=1, seconds=5),
    "blob": b"\x00\xff",
    "span": Range(1, 5),
    "yes": True,
}
