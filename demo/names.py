"""The stock of names: people, organisations, places, projects, buildings and ships.

Names are combined from parts, and no distinguishing word of a name is used twice within one report or contained in
another word used there ("Rome" and "Romero"). A report therefore never holds two entities that could be taken for each
other. What only tells the kind may be used again: "Halden Bank" and "Norvik Bank".
"""

import random
from collections.abc import Callable

from demo.grammar import words

FIRST_NAMES = words("""
Maria John Ana Peter Sofia Daniel Elena Thomas Clara David Ingrid Samuel Laura Henrik Amina Robert Julia Marco Helen
Victor Nadia Paul Irene Oscar Fatima George Emily Lukas Priya Andrew Marta Simon Yuki Martin Grace Anton Leila Stefan
Rosa Philip Mei Walter Diana Omar Karen Felix Teresa Arthur Olga Hugo Alice Ivan Nora Edward Carmen Jonas Ruth Pablo
Eva Kenji Linda Gustav Aisha Frank Monica Tomas Vera Louis Hanna Rajesh Sarah Erik Bianca Charles Ling Adam Judith
Mateo Silvia Owen Greta Ahmed Lucy Viktor Paula Dennis Chiara Ralph Susan Milan Dora Patrick Noor Albert Tina Hassan
Wanda Leo Beatrice Kofi Margaret Emil Zara Roland Astrid Colin Ines Dmitri Flora Kwame Agnes Benjamin Lena Takeshi
Joan Christian Petra Nathan Camila Oliver Iris Bruno Esther Gabriel Naomi Hector Celia Ulrich Valerie Sanjay Lydia
José André Zoë Chloé Björn Søren Jürgen Renée Łucja Inés Óscar Aurélie Åsa Émile Günther Štěpán Niamh Bjørn Márta
Raúl Žofia Hélène Jörg Mónica Þóra Noémie Ángel Ayşe Tomáš
""")

LAST_NAMES = words("""
Smith Lopez Novak Meyer Rossi Tanaka Larsen Kowalski Brown Silva Fischer Murphy Dubois Patel Ivanov Jansen Costa Weber
Nielsen Cooper Moreau Okafor Schmidt Ferrari Walker Lindgren Haddad Bennett Romero Kovacs Hughes Virtanen Castillo
Wagner Mensah Parker Bianchi Suzuki Hansen Morgan Popescu Keller Turner Almeida Becker Sato Collins Vargas Petrov
Foster Lindholm Greco Hoffmann Reyes Watson Bakker Nakamura Griffin Horvat Marino Dawson Johansen Ramos Vogel Bailey
Chen Fontaine Richter Salazar Hayes Berger Okoye Harrison Lombardi Dvorak Fletcher Navarro Kruger Palmer Yamada
Andersen Chambers Molina Steiner Whitaker Kaur Leclerc Barnes Eriksen Pereira Zimmermann Doyle Fuentes Sokolov Marsh
Rahman Gallagher Conti Brandt Osborne Mendoza Lehmann Abbott Kimura Delgado Hartmann Sinclair Banerjee Rivers
Vermeulen Holloway Toth Cardoso Pearce Winkler Ortega Franklin Sharma Bergman Quinn Aguilar Baumann Lawson Nowak
Serrano Frost Takahashi Pritchard Mancini Dahl Espinoza Carlisle Kaplan Rinaldi Thornton Wolff Medina Sutton Oduya
Peters Lambert Ibrahim Hendricks Castellano Nyberg Mitchell Arslan Bauer Crawford Pereyra Stanton Ueda Maier
García Müller Sørensen Núñez Lefèvre Ødegård Žižek Håkansson Šimek Muñoz Brontë Ångström Fernández Kőszegi Wałęsa
Gonçalves Bjørnson Jiménez Dvořák Höller Ibáñez Légaré Peña Özdemir Strömberg Côté Sáez Krüger Nygård
""")

PLACES = (
    """
London;Paris;Berlin;Madrid;Rome;Vienna;Prague;Warsaw;Lisbon;Dublin;Athens;Oslo;Stockholm;Helsinki;Copenhagen;Brussels
Amsterdam;Budapest;Zagreb;Riga;Vilnius;Tallinn;Bergen;Turin;Naples;Seville;Valencia;Lyon;Marseille;Nantes
Hamburg;Leipzig;Dresden;Stuttgart;Salzburg;Basel;Geneva;Lausanne;Rotterdam;Utrecht;Antwerp;Ghent;Gothenburg;Aarhus
Tampere;Manchester;Leeds;Bristol;Glasgow;Edinburgh;Cardiff;Belfast;Cork;Galway;Boston;Chicago;Denver;Seattle;Portland
Houston;Dallas;Atlanta;Phoenix;Detroit;Toronto;Montreal;Vancouver;Calgary;Ottawa;Lima;Santiago;Buenos Aires;Montevideo
Havana;Nairobi;Kampala;Accra;Lagos;Dakar;Cairo;Tunis;Casablanca;Cape Town;Durban;Addis Ababa;Tokyo;Osaka;Kyoto;Nagoya
Seoul;Busan;Taipei;Manila;Hanoi;Bangkok;Jakarta;Singapore;Kuala Lumpur;Mumbai;Delhi;Chennai;Kolkata;Colombo;Dhaka
Sydney;Melbourne;Brisbane;Perth;Adelaide;Auckland;Wellington;Christchurch;Ankara;Izmir;Beirut;Amman;Muscat;Tbilisi
Baku;Almaty;Norwich;Plymouth;Exeter;Canterbury;Oxford;Ravenna;Bologna;Verona;Padua;Granada;Bilbao
Porto;Coimbra;Rennes;Toulouse;Bordeaux;Grenoble;Freiburg;Heidelberg;Rostock;Bremen;Innsbruck;Graz;Maribor;Split
Gdansk;Wroclaw;Lublin;Ostrava;Trieste;Genoa;Palermo;Cagliari;Heraklion;Nicosia;Valletta;Reykjavik;Nuuk;Longyearbyen
São Paulo;Bogotá;Málaga;Zürich;Köln;Malmö;Tromsø;Córdoba;Brașov;Łódź;Kraków;Düsseldorf;Orléans;Nîmes
León;Mérida;Asunción;Yaoundé;Örebro;Jyväskylä;Besançon;Székesfehérvár;Plzeň;Chișinău;Maceió;Cádiz;Umeå
New Haven;San Marino;Port Louis;St Albans;Fort William;Lake Placid;Green Bay;Cedar Rapids;Salt Lake City;Red Deer
""".strip()
    .replace("\n", ";")
    .split(";")
)

ORGANISATION_STEMS = words("""
Halden Meridian Norvik Alder Castor Brightwater Lumen Orion Calder Vantage Solace Hartwell Pinnacle Novara Kestrel
Silvermine Ashford Polaris Redwood Tallis Granite Ember Corvus Falk Delphi Harbour Ostara Zenith Larkspur Caspian Beacon
Fairfax Sterling Nordwind Thistle Axiom Copper Marlow Evergreen Rhea Bluestone Trident Hollis Vesper Kingsley Arbor
Ironbridge Selwyn Atlas Mosaic Cobalt Wexford Helios Juniper Stratus Pembroke Quartz Linden Raven Sable Aster Fulcrum
Windmere Osprey Tamarind Crestline Baltic Verity Galloway Cinder Summit Oakfield Nimbus Talbot Hyperion Rowan Keystone
Elmwood Pacifica Drake Northgate Saffron Argent Whitfield Mercator Boreal Clearwater Dorian Kelvin Tundra Albion Sequoia
Ridgeway Onyx Parallax Stonebrook Ferrous Magnolia Hadley Apex Cascade Tiber Willowby Vector Lyra Grantham Isotope
Monarch Fenwick Zephyr Amber Birchwood Triton Langley Cygnus Highfield Opal Redfern Titan Union Viking Yarrow Émeraude
Süd Østfold Château Águila Ñandú Älgen Étoile Müritz Føniks Brève
""")

ORGANISATION_KINDS = (
    """
Instruments;Bank;Logistics;Foundation;University;Institute;Energy;Systems;Group;Holdings;Ltd;GmbH;Consulting
Engineering;Laboratories;Insurance;Partners;Construction;Airlines;Shipping;Pharmaceuticals;Foods;Textiles;Media
Telecom;Motors;Chemicals;Council;Hospital;Trust;Software;Robotics;Steel;Railways;Capital;Research Centre;Associates
Water Works;Development Agency;Publishing;Museum;Technologies;Inc.;AG;Cooperative
""".strip()
    .replace("\n", ";")
    .split(";")
)

PROJECT_WORDS = words("""
Aurora Lantern Heron Compass Horizon Falcon Bridge Willow Comet Harvest Anchor Thimble Sparrow Cedar Mirror Glacier
Pioneer Thunder Orchard Saturn Bramble Canyon Dolphin Eclipse Feather Gateway Hazel Island Jasmine Kite Lighthouse
Maple Nebula Otter Panther Quill Rainbow Sapphire Tulip Umbra Voyager Waterfall Yonder Zodiac Acorn Badger Cobblestone
Daisy Emerald Firefly Gazelle Hummingbird Iceberg Jaguar Kingfisher Lavender Magpie Nightingale Obsidian Pelican Quasar
Rosewood Starling Tiger Unicorn Violet Walrus Xenon Yellowtail Zinnia Arrow Buffalo Cricket Dragonfly Eagle Foxglove
Goldfinch Hedgehog Indigo Javelin Koala Lynx Mustang Nutmeg Orca Puffin Quicksilver Rhino Seahorse Tortoise Urchin Viper
Wombat Antelope Bison Coral Dune Everest Fjord Geyser Harbinger Impala Jupiter Krypton Lagoon Meteor Neptune Oasis
Pegasus Quartzite Riverbend Sunrise Tempest Ultramarine Vulcan Whirlwind Zenobia Älv Étincelle Ljósið Río Señal Übergang
Cyclone Delta Fable Fountain Garnet Hydra Ivory Juno Kraken Lotus Marigold Northstar Opaline Prism Ripple
""")

PROJECT_PREFIXES = ["Project"] * 6 + ["Programme", "Operation"]
VESSEL_PREFIXES = ["MV", "MS", "SS", "tug", "ferry"]
BUILDING_KINDS = words(
    "Hall Tower House Bridge Station Library Stadium Clinic Mill Arena Court Market Theatre Pavilion"
)

_ONSETS = words("b br c d dr f g gr h j k kr l m n p r s st t tr v w z")
_VOWELS = words("a e i o u a e i o ei ia")
_ENDINGS = words("n r l s k nd rn rt ll th m x")


def invent_word(rng: random.Random) -> str:
    """Make up a pronounceable name, so that reports also hold names nobody has listed."""
    syllables = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(2)]
    return ("".join(syllables) + rng.choice(_ENDINGS)).capitalize()


class NameSource:
    """Draws names for one report; every word of a name is drawn at most once."""

    def __init__(self, rng: random.Random, invented_share: float = 0.06) -> None:
        """Start with nothing used.

        Args:
            rng: The source of all choices.
            invented_share: The chance that a surname, an organisation's or a project's word is made up.
        """
        self._rng = rng
        self._invented_share = invented_share
        self._used_words: set[str] = set()

    def person(self) -> str:
        """Draws a first and a last name, now and then with a middle initial."""
        first = self._unused(lambda: self._rng.choice(FIRST_NAMES))
        last = self._unused(lambda: self._listed_or_invented(LAST_NAMES))
        if self._rng.random() < 0.08:
            return f"{first} {self._rng.choice('ABCDEFGHJKLMNPRSTW')}. {last}"
        return f"{first} {last}"

    def organisation(self) -> str:
        """Draws a company or institution such as "Halden Instruments"."""
        stem = self._unused(lambda: self._listed_or_invented(ORGANISATION_STEMS))
        if self._rng.random() < 0.12:
            partner = self._unused(lambda: self._listed_or_invented(LAST_NAMES))
            return f"{stem} & {partner}"
        return f"{stem} {self._rng.choice(ORGANISATION_KINDS)}"

    def place(self) -> str:
        """Draws a town or city."""
        return self._unused(lambda: self._rng.choice(PLACES))

    def project(self) -> str:
        """Draws a project such as "Project Aurora"."""
        prefix = self._rng.choice(PROJECT_PREFIXES)
        return f"{prefix} {self._unused(lambda: self._listed_or_invented(PROJECT_WORDS))}"

    def building(self) -> str:
        """Draws a building such as "Lindgren Hall"."""
        return f"{self._unused(lambda: self._listed_or_invented(LAST_NAMES))} {self._rng.choice(BUILDING_KINDS)}"

    def vessel(self) -> str:
        """Draws a ship such as "MV Heron"."""
        prefix = self._rng.choice(VESSEL_PREFIXES)
        return f"{prefix} {self._unused(lambda: self._listed_or_invented(PROJECT_WORDS))}"

    def _listed_or_invented(self, listed: list[str]) -> str:
        if self._rng.random() < self._invented_share:
            return invent_word(self._rng)
        return self._rng.choice(listed)

    def _unused(self, draw: Callable[[], str]) -> str:
        for _ in range(1000):
            candidate = draw()
            words = candidate.split()
            clashes = any(word in used or used in word for word in words for used in self._used_words)
            if not clashes:
                self._used_words.update(words)
                return candidate
        raise ValueError("the stock of names is too small for a report with so many entities")
