"""Questions, documents and answers of known worth, for a judge to read.

A document is five facts. An answer is made from some of them and, the worse it is, from statements that the
document does not support. The texts are excerpts: the token counts of the traffic model are those of a whole
prompt, not of these lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Document:
    """What was retrieved for a question, and what a careless model would claim instead."""

    topic: str
    question: str
    facts: tuple[str, str, str, str, str]
    inventions: tuple[str, str, str]


@dataclass(frozen=True)
class Answer:
    """How an answer is made: which facts it states and how many inventions it adds."""

    name: str
    facts: int
    inventions: int


# From complete to wrong. Probabilities over these are the quality of a model on a template.
ANSWERS: Final = (
    Answer("complete", 5, 0),
    Answer("good", 4, 0),
    Answer("partial", 3, 0),
    Answer("thin", 2, 1),
    Answer("wrong", 1, 3),
)

DOCUMENTS: Final = (
    Document(
        "support",
        "How do I return a pair of shoes that does not fit?",
        (
            "Shoes can be returned within thirty days of delivery.",
            "The return label is printed from the order page.",
            "Unworn pairs are refunded to the original card.",
            "Refunds arrive within five working days.",
            "Exchanges for another size are shipped free of charge.",
        ),
        (
            "Customers must phone the warehouse in Lisbon before mailing anything.",
            "A restocking penalty of forty percent applies everywhere.",
            "Vouchers replace cash because banks prohibit reversals.",
        ),
    ),
    Document(
        "support",
        "Why was my subscription charged twice this month?",
        (
            "A second charge appears when the billing date was moved.",
            "The first charge covers the remaining days of the old cycle.",
            "Both charges are listed on the invoice page.",
            "A duplicate charge is reversed automatically within two days.",
            "Support can lock the billing date on request.",
        ),
        (
            "Auditors demanded weekly surcharges across Scandinavia.",
            "Your employer probably authorised gift memberships.",
            "Cancelling requires notarised paperwork and witnesses.",
        ),
    ),
    Document(
        "legal",
        "When can the supplier terminate the agreement early?",
        (
            "The supplier may terminate after ninety days written notice.",
            "Termination is immediate when payment is sixty days overdue.",
            "Prepaid fees are returned for the unused months.",
            "Confidentiality continues for three years after termination.",
            "Disputes about termination go to arbitration in Geneva.",
        ),
        (
            "Courts in Delaware cancelled similar clauses last spring.",
            "Shareholders vote before anybody leaves.",
            "Penalties triple whenever holidays intervene.",
        ),
    ),
    Document(
        "code",
        "What is wrong with this change to the retry loop?",
        (
            "The retry loop never resets the attempt counter.",
            "The timeout is given in seconds but read in milliseconds.",
            "The exception is logged without its traceback.",
            "The connection is not closed when the last attempt fails.",
            "A test for the third attempt is missing.",
        ),
        (
            "Rewriting everything using blockchain fixes concurrency.",
            "Python forbids loops inside modules.",
            "Compilers automatically remove unused servers.",
        ),
    ),
    Document(
        "claims",
        "Is water damage in the basement covered?",
        (
            "Water damage from a burst pipe is covered.",
            "Flooding from outside needs the extended policy.",
            "The deductible for water damage is five hundred dollars.",
            "Photos of the basement must be sent within ten days.",
            "Mould removal is covered up to two thousand dollars.",
        ),
        (
            "Insurers reimburse swimming lessons afterwards.",
            "Neighbours automatically inherit liability for earthquakes.",
            "Basements never qualify because regulators banned them.",
        ),
    ),
    Document(
        "search",
        "Which trains run from the airport to the city at night?",
        (
            "The night train leaves the airport every thirty minutes.",
            "Line S8 stops at the central station.",
            "Tickets are sold at the machines on level two.",
            "The journey takes forty minutes.",
            "Between two and four a bus replaces the train.",
        ),
        (
            "Helicopters depart hourly toward downtown hotels.",
            "Passengers receive complimentary breakfast vouchers aboard.",
            "Monorails were inaugurated during medieval festivals.",
        ),
    ),
    Document(
        "catalog",
        "Describe this jacket for the shop.",
        (
            "The jacket is made of recycled nylon.",
            "It has two zipped pockets and a hood.",
            "The lining is removable and washable.",
            "It weighs four hundred grams.",
            "It is sold in navy, olive and black.",
        ),
        (
            "Astronauts certified its titanium buttons underwater.",
            "Genuine leopard fur surrounds both sleeves.",
            "Lifetime hotel discounts accompany purchase.",
        ),
    ),
)


def document_indices(topic: str) -> tuple[int, ...]:
    """Positions in :data:`DOCUMENTS` of the documents about a topic."""
    return tuple(i for i, document in enumerate(DOCUMENTS) if document.topic == topic)


def answer_text(document: Document, answer: Answer) -> str:
    """The text of an answer to the document's question."""
    return " ".join((*document.facts[: answer.facts], *document.inventions[: answer.inventions]))
