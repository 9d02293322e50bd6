"""A small hand-written corpus with questions, and configs of the reference space."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from autorag.documents import Document
from autorag.evaluation.gold import gold_units
from autorag.pipeline.embedders import embedder_dims
from autorag.pipeline.generate import generators
from autorag.pipeline.space import reference_space
from autorag.queries import Query
from autorag.space import Config
from autorag.workload import Workload

_TEXTS = {
    "Sourdough": "A sourdough starter is flour and water left to ferment. Wild yeast and lactic "
    "bacteria raise the dough. Feed the starter every day. A ripe starter floats in water.",
    "Bicycle chain": "Clean the chain every 300 kilometres. Wipe it with a rag, then put one drop "
    "of oil on every link. A dry chain squeaks and wears out the sprockets.",
    "Tomatoes": "Tomatoes want six hours of sun and deep watering. Pinch out the side shoots of "
    "climbing kinds. Blight spreads on wet leaves, so water the soil and not the plant.",
    "Lighthouse": "The old lighthouse at Skarvik was lit in 1872. Its lamp burned paraffin until "
    "1931, when it was wired for electricity. The last keeper left in 1984.",
    "Tea": "Green tea is steeped at 75 degrees for two minutes. Boiling water makes it bitter. "
    "Black tea takes boiling water and four minutes.",
    "Chess clock": "A chess clock has two faces, and only one of them runs. A player who has moved "
    "presses the button. Whoever runs out of time loses the game.",
    "Ferry": "The ferry to the island leaves at seven, noon and five. On Sundays there is no noon "
    "boat. Bicycles travel free, cars need a booking.",
    "Bees": "A honey bee colony has one queen. Worker bees dance to tell where flowers are. In "
    "winter the bees form a ball and shiver to keep warm.",
    "Washing wool": "Wash wool by hand in lukewarm water. Do not wring it. Roll it in a towel and "
    "let it dry flat, or it loses its shape.",
    "Library card": "A library card is free for residents. Up to twelve books may be borrowed for "
    "four weeks. A lost card costs three euros.",
    "Volcano": "Magma that reaches the surface is called lava. Thick lava builds steep cones, thin "
    "lava flows far. Ash can close airports for days.",
    "Guitar strings": "The six strings of a guitar are tuned to E, A, D, G, B and E. New strings "
    "stretch and must be tuned often. Old strings sound dull.",
    "Compost": "Compost needs green and brown waste in equal parts. Turn the heap every month so "
    "that air gets in. Meat and bones attract rats.",
    "Moon": "The moon always shows the same face, because it turns once in each orbit. A full "
    "moon rises at sunset. Tides follow the moon.",
    "Bread knife": "A bread knife has a wavy edge that bites the crust. It is sharpened groove by "
    "groove with a round file.",
    "Swimming": "Children learn to float before they learn to swim. The breast stroke is the usual "
    "first stroke. Cold water takes the breath away.",
    "Passport": "An adult passport is valid for ten years. Apply six weeks before the journey. The "
    "photograph must not be older than six months.",
    "Candles": "Beeswax candles burn slowly and smell of honey. Trim the wick to half a centimetre "
    "so that the flame does not smoke.",
    "Hedgehog": "Hedgehogs sleep from November to March. They eat beetles, worms and slugs. A bowl "
    "of milk makes them ill; give them water.",
    "Piano": "A piano has eighty-eight keys. It is tuned twice a year, because the wooden frame "
    "moves with the weather.",
    "Rice": "Rinse rice until the water runs clear. One cup of rice takes a cup and a half of "
    "water. Leave the lid on for ten minutes after cooking.",
    "Snow tyres": "Snow tyres have soft rubber with fine cuts. Change to them when it is colder "
    "than seven degrees. They wear fast on warm roads.",
    "Telescope": "A mirror telescope collects light with a curved mirror. Let it cool outside "
    "before looking. The rings of Saturn show at thirty times magnification.",
    "Mushrooms": "Never eat a mushroom that you cannot name. The death cap looks like a harmless "
    "mushroom and destroys the liver.",
    "Marathon": "A marathon is 42.195 kilometres long. Runners drink before they are thirsty. The "
    "wall comes after thirty kilometres, when the sugar in the muscles is gone.",
    "Cheese": "Rennet curdles the milk. The curd is cut, pressed and salted. Hard cheese ripens "
    "for a year or longer.",
    "Fire alarm": "Put a smoke alarm in every bedroom. Press the test button once a month. A chirp "
    "every minute means that the battery is low.",
    "Knots": "The bowline makes a loop that does not slip. The clove hitch ties a rope to a post. "
    "Wet rope is weaker than dry rope.",
    "Owls": "An owl turns its head three quarters of a circle. Soft feathers make its flight "
    "silent. It swallows mice whole and coughs up the bones.",
    "Paint": "Sand the wood and paint thinly. Two thin coats last longer than one thick coat. "
    "Clean brushes before the paint dries.",
    "Tram": "The number nine tram runs from the harbour to the zoo every ten minutes. Tickets are "
    "sold at the stops and not on board.",
    "Coffee": "Grind the beans just before brewing. Sixty grams of coffee go with a litre of "
    "water. Water just off the boil gives the best cup.",
    "Allotment": "The allotment garden costs ninety euros a year. The waiting list is three years "
    "long. Sheds may be four metres wide.",
    "Ice hockey": "An ice hockey match has three periods of twenty minutes. Six players of each "
    "team are on the ice. A minor penalty lasts two minutes.",
    "Umbrella": "A good umbrella has steel ribs. Dry it open. A broken rib can be splinted with "
    "wire.",
    "Violin": "Violin bows are strung with horse hair. Rosin makes the hair grip the strings. "
    "Loosen the bow after playing.",
    "Whale": "The blue whale eats four tonnes of krill a day. Its heart weighs as much as a small "
    "car. It sings too low for people to hear.",
    "Yoghurt": "Heat milk to 85 degrees, let it cool to 45 and stir in a spoon of yoghurt. Keep it "
    "warm for eight hours.",
    "Windmill": "The windmill ground grain until 1950. Its cap turns into the wind by itself. "
    "Today it is a museum, open on Saturdays.",
    "Dentist": "See the dentist twice a year. Brush for two minutes in the morning and in the "
    "evening. Floss reaches where the brush does not.",
}

_QUESTIONS = (
    ("When was the lighthouse lit for the first time?", "Lighthouse", "1872"),
    ("How hot should water for green tea be?", "Tea", "75 degrees"),
    ("How long is an adult passport valid?", "Passport", "ten years"),
    ("What do hedgehogs eat?", "Hedgehog", "beetles, worms and slugs"),
    ("How many keys does a piano have?", "Piano", "eighty-eight keys"),
    ("Why does my smoke alarm chirp?", "Fire alarm", "the battery is low"),
    ("How often should I oil my bicycle chain?", "Bicycle chain", "every 300 kilometres"),
    ("Which knot makes a loop that does not slip?", "Knots", "The bowline"),
    ("How much krill does a blue whale eat?", "Whale", "four tonnes of krill a day"),
    ("How do I wash a wool jumper?", "Washing wool", "by hand in lukewarm water"),
)


def documents() -> list[Document]:
    """Forty short documents; the id is the title in lower case."""
    return [Document(_id(title), title, text) for title, text in _TEXTS.items()]


def queries() -> list[Query]:
    """Ten questions, each answered verbatim by one document."""
    by_id = {d.id: d for d in documents()}
    return [
        Query(f"q{i}", question, gold_units(f"q{i}", [_id(doc)], {}, [answer], by_id), (answer,))
        for i, (question, doc, answer) in enumerate(_QUESTIONS)
    ]


def workload() -> Workload:
    return Workload("everyday", tuple(documents()), tuple(queries()))


def gold(query: Query) -> str:
    """The id of the document that answers a query."""
    return query.units[0].doc


def many_documents(count: int) -> list[Document]:
    """Short distinct documents, enough to train an index on."""
    things = [title.lower() for title in _TEXTS]
    return [
        Document(f"n{i}", "", f"Note {i} on {things[i % 40]} and {things[i * 7 % 39]}, page {i}.")
        for i in range(count)
    ]


@lru_cache(maxsize=1)
def space() -> Any:
    return reference_space(embedder_dims(), generators=generators(), cores=2)


def config(**knobs: Any) -> Config:
    """A config of the reference space; ``chunk__tokens=64`` is ``chunk.tokens = 64``."""
    made = space().config({name.replace("__", "."): value for name, value in knobs.items()})
    assert isinstance(made, Config)
    return made


def _id(title: str) -> str:
    return title.lower().replace(" ", "-")
