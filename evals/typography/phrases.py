"""What the typography suites ask to be written, and on what: written for this project, free of any rights (CC0)."""

from __future__ import annotations

WORDS = """Harvest Lantern Velvet Orchard Compass Marble Thunder Whisper Juniper Cobalt Meadow Falcon Ember Quartz Willow
Saffron Glacier Beacon Tundra Mosaic Pepper Canyon Nectar Drift Anchor Bramble Cinder Dahlia Echo Fable Granite Hollow
Indigo Jubilee Kindle Lagoon Mirage Nimbus Opal Prairie Quiver Rustic Summit Timber Umber Vortex Walnut Yonder Zephyr
Bakery Library Pharmacy Station Theatre Museum Garage Hostel Laundry Florist""".split()

PHRASES = (
    "Fresh Bread", "Night Market", "Slow Down", "Blue Heron Inn", "Last Exit", "Open Late", "Lost & Found", "No Parking",
    "River Walk", "Mind the Step", "Copper Kettle", "Half Price", "Grand Opening", "Wet Paint", "Room 214", "Gate B17",
    "Platform 9", "Route 66", "Track Five", "Danger Zone", "Quiet Please", "Push Hard", "Sunday Brunch", "Free Refills",
    "Handle Gently", "Spring Sale", "Do Not Touch", "Ask Inside", "Cash Only", "Keep Left", "Pine & Salt", "Moon Over Oslo",
    "Paper Tigers", "Twelve Apples", "Ginger Tea", "Golden Hour", "Winter Tyres", "Dogs Welcome", "Staff Entrance",
    "Fire Exit", "Beware of Geese", "Home Again", "Zero Waste", "The Long Game", "Sweet Basil", "Two for One", "Best in Town",
    "Made by Hand", "Coffee to Go", "Stay Curious", "Main Street", "North Pier", "Ticket Office", "Summer of 84", "Ice Cold",
    "Rye & Sons", "Violet Hour", "Out of Order", "Wool Shop", "Kite Festival",
)  # fmt: skip

SENTENCES = (
    "The kettle sings before the sun", "Please wait here to be seated", "All trains stop at Elm Junction",
    "Nothing grows faster than a rumour", "Turn off the lights when you leave", "Fresh oysters every Friday until nine",
    "A good map is half the journey", "We repair clocks, radios and hearts", "Tickets sold at the blue window",
    "Every bicycle has a second owner", "Do not feed the ducks bread", "Rain again tomorrow, says the barber",
    "The library is open until midnight", "Small boats need big harbours", "Read the label before you pour",
    "Our bread is baked at four", "Walk slowly, children are playing here", "Leave your boots at the door",
    "Seven miles to the lighthouse", "The orchestra tunes at half past six", "Buy two jars, get one free",
    "This bridge closes at high tide", "Old maps sold by the pound", "Never trust a quiet kitchen",
    "Keep this door shut at all times", "The fog lifts around eleven", "Vote early, then go fishing",
    "Your table is ready upstairs", "Made with salt, time and patience", "The next ferry leaves at dawn",
    "Please do not lean on the glass", "Only the gardener knows the path", "Bring a coat and a story",
    "Warm soup is served all day", "The clock tower runs three minutes slow", "Speak softly near the beehives",
    "Lost glove found by the fountain", "Half the city dreams of the sea", "Parking for visitors behind the mill",
    "Count the stars, then count again", "A quiet room with a loud view", "Dinner is served beneath the old oak",
    "Tomorrow we paint the fence green", "The post goes out at noon", "Mind your head on the low beam",
    "Someone left a piano in the field", "Enjoy the silence while it lasts", "Wash your hands with cold water",
    "The third act begins in five minutes", "Stand back from the yellow line",
)  # fmt: skip

LONG = (
    "The workshop is closed on Mondays so that the glue can dry and the carpenters can sleep.",
    "Take the left path at the chapel, cross two bridges, and follow the smell of bread until you reach the square.",
    "Members may borrow up to six books for three weeks; atlases, records and globes stay in the reading room.",
    "In case of fire leave by the nearest stairs, do not use the lift, and meet the others at the old well.",
    "Grandmother kept her recipes in a tin box, and every card carried a stain that told you how good it was.",
    "The last tram leaves the harbour at ten past one and stops at every corner where somebody raises a hand.",
    "Mix the flour with a pinch of salt, add warm milk slowly, and let the dough rest under a clean cloth for an hour.",
    "This garden belongs to the neighbourhood: water what is dry, weed what is wild, and pick only what you will eat.",
    "We sailed for nine days without seeing land, and on the tenth a small brown bird sat down on the mast.",
    "Visitors are asked to speak quietly, to keep their coats on, and to leave the windows exactly as they find them.",
    "A letter takes two days by train, four by mule, and a whole winter when the pass is closed by snow.",
    "The museum shop sells pencils, postcards and one very large wooden spoon that nobody has ever dared to buy.",
    "Please note that the swimming pool opens at seven, the sauna at nine, and the kitchen whenever the cook wakes up.",
    "He painted the boat green because the sea was blue and he wanted to find it again in the evening.",
    "Check the tyres, the lamps and the brakes before every ride, and write down the distance when you come home.",
    "The observatory welcomes guests on clear nights from October to March; bring warm gloves and a question.",
    "Nobody remembers who planted the walnut tree, but everybody remembers the summer when lightning split it in two.",
    "Our coffee is roasted in small batches on Tuesday and Friday, ground while you wait, and never served in a hurry.",
    "Dear neighbours, the concert on Saturday will be loud until ten; come and dance, or borrow our spare earplugs.",
    "Store these seeds in a cool dry place, sow them one finger deep after the last frost, and keep the birds away.",
    "The map shows eleven wells, but only four of them hold water after the month of June.",
    "When the bell rings twice the shop is closing; when it rings three times the owner has gone to look at the sea.",
    "All lost umbrellas are kept for one year and then lent to anyone who looks as if they might need one.",
    "Turn the key gently to the right, lift the handle, and push with your shoulder: the door is older than the house.",
    "The river rose by two metres in a single night and carried away the ferry, the pier and most of the plums.",
    "Students receive a discount of fifteen percent on paints, brushes and canvas from Monday to Thursday.",
    "She wrote the first chapter on napkins, the second on tickets, and the third on the back of an unpaid bill.",
    "Breakfast is served from six to ten on the terrace, and in the cellar whenever the wind comes from the east.",
    "Please take a number, have a seat, and listen for the bell; the doctor will see you in the order you arrived.",
    "No experience is needed for the pottery class, only an apron, an hour of patience, and short fingernails.",
)  # fmt: skip

MISSPELT = (
    "Resturant", "Libary Card", "Definately Open", "Accomodation", "Tommorow", "Wellcome Home", "Seperate Doors", "Recieve",
    "Calender", "Occured", "Publick", "Untill Nine", "Beleive", "Cofee Shopp", "Adress Book",
)  # fmt: skip
GIBBERISH = (
    "Vrelkt", "Quonz Bipf", "TRAXIL", "Mubo Dentz", "Ploquer", "ZWIFFEL", "Kandrus Oy", "Yebbit", "Strolf Hame", "Gnuvix",
)  # fmt: skip
CODES = (
    "XK-4092",
    "7Q3 ZL8",
    "A1B2C3",
    "No. 5083-F",
    "48°12'N",
    "3.14159",
    "2 + 2 = 5",
    "#E63946",
    "v2.0.7-rc1",
    "KM 117,5",
)
ACCENTS = (
    "Café Olé", "Crème brûlée", "Grüße aus Köln", "Größe", "Señor Muñoz", "Mañana", "Façade", "Årstad Skole", "Smörgåsbord",
    "Déjà vu", "Piñata", "Übermut", "São João", "Țară", "Żółw",
)  # fmt: skip
CHINESE = ("茶", "书店", "欢迎光临", "新年快乐", "北京", "小心地滑", "图书馆", "你好世界", "火车站", "好吃")

SURFACES = (
    'A photo of a neon sign in a dark alley that reads "{}".',
    'A wooden shop sign above a green door that says "{}".',
    'A vintage travel poster of a mountain lake with the title "{}".',
    'A hardcover book lying on a linen tablecloth; its cover says "{}".',
    'A white coffee mug on an office desk, printed with "{}".',
    'A chalkboard leaning against a brick wall with "{}" written in chalk.',
    'A close-up of a jam jar with a paper label that reads "{}".',
    'A road sign at a foggy crossroads that says "{}".',
    'A street musician\'s guitar case with a cardboard sign reading "{}".',
    'A lighthouse at sunset with "{}" painted in large letters on its wall.',
    'The screen of a laptop in a dim room showing only the words "{}".',
    'A birthday cake with "{}" in icing.',
    'A tram at a stop in the rain; its destination display shows "{}".',
    'A black T-shirt on a hanger with "{}" across the chest.',
    'A hand-painted mural on a warehouse that reads "{}".',
    'A brass plaque on a stone wall engraved with "{}".',
    'A shop window with "{}" in gold letters on the glass.',
    'An astronaut on the moon holding a flag that says "{}".',
    'A newspaper on a park bench with the headline "{}".',
    'A cinema marquee at night that announces "{}".',
    'A cat sitting beside a small sign that says "{}".',
    'A minimalist logo on a white background with the name "{}".',
    'A wine bottle in candlelight whose label reads "{}".',
    'A tote bag hanging on a chair, printed with "{}".',
    'Skywriting above a beach that spells "{}".',
    'A wooden crate in a market stall stamped with "{}".',
)
SHEETS = (
    'A printed notice pinned to a cork board that reads "{}"',
    'A page of a typewritten manuscript beside a cup of tea; the page says "{}"',
    'A museum panel next to a painting, with the text "{}"',
    'A handwritten letter on cream paper that reads "{}"',
    'A tablet computer on a kitchen table displaying the text "{}"',
    'A large stone tablet in a garden carved with the words "{}"',
    'A sign at the entrance of a park that explains "{}"',
    'The back cover of a novel with the text "{}"',
    'A presentation slide on a conference screen that says "{}"',
    'A postcard lying on a map, on which is written "{}"',
)

SHOPS = (
    "Pine & Salt", "The Copper Pot", "Hill Street Books", "Marlow Bakery", "Nine Lives Vet", "Old Harbour Inn", "Otter & Co",
    "Blue Door Deli", "Fern Cottage", "Kestrel Cycles", "Luna Laundry", "Tin Roof Cafe",
)  # fmt: skip
OFFERS = (
    "Soup of the day", "Half price today", "Fresh figs", "Two for one", "Free tasting", "Hot cider", "New arrivals",
    "Ask for a tour", "Buy one get one", "Last week", "Try our plum cake", "Second hand",
)  # fmt: skip
HOURS = (
    "Open 9 to 5", "Closed Mondays", "Open all night", "Back at noon", "Tue to Sat", "Open daily", "Until 10 pm",
    "By appointment", "Closed for lunch", "Open at dawn", "Weekends only", "24 hours",
)  # fmt: skip
NOTICES = (
    "Push", "No dogs inside", "Mind the step", "Ring the bell", "Cash only", "Wet floor", "Exit", "Staff only", "Keep shut",
    "Please queue", "Private", "Way out",
)  # fmt: skip
TITLES = (
    "Winter Light", "The Salt Road", "Night Trains", "A Field Guide", "Seven Rivers", "Paper Moons", "Iron Valley",
    "The Quiet Year", "After the Rain", "Low Tide", "Glass Garden", "Northbound",
)  # fmt: skip
NAMES = (
    "Ada Fenwick", "Tomas Varga", "Lena Brandt", "Omar Haddad", "June Okafor", "Piet Visser", "Rosa Quint", "Hugo Lind",
    "Mira Solano", "Ivo Kral", "Nell Carver", "Sami Berg",
)  # fmt: skip
DATES = (
    "12 May", "Saturday 8 pm", "June 21", "Friday at nine", "3 to 7 August", "New Year's Eve", "10 October", "Monday 6 am",
    "14 March", "Sunday noon", "1 September", "22 November",
)  # fmt: skip
PLACES = (
    "Town Hall", "Pier 14", "Room 7", "Mill Lane", "Upper Deck", "East Wing", "Elm Park", "Track 3", "Harbour Stage",
    "Gate 22", "Old Quarry", "Barn Theatre",
)  # fmt: skip

LAYOUTS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ('A narrow shop front: the sign above the door says "{}" and a card in the window says "{}".', (SHOPS, HOURS)),
    ('A paperback on a bench; the title is "{}" and the author is "{}".', (TITLES, NAMES)),
    ('Two wooden arrows on one post: the upper reads "{}", the lower reads "{}".', (PLACES, NOTICES)),
    ('A concert poster with the band name "{}" at the top and the date "{}" at the bottom.', (TITLES, DATES)),
    (
        'A cafe terrace: the awning says "{}", a chalkboard says "{}" and a small card on a table says "{}".',
        (SHOPS, OFFERS, NOTICES),
    ),
    ('A theatre ticket that shows the title "{}", the date "{}" and the place "{}".', (TITLES, DATES, PLACES)),
    ('Three jars on a shelf with the labels "{}", "{}" and "{}".', (OFFERS, NOTICES, NAMES)),
    ('A film poster: "{}" in large letters, "{}" above it and "{}" below it.', (TITLES, NAMES, DATES)),
    (
        'A market street: a banner says "{}", a stall sign says "{}", a price board says "{}" and a door says "{}".',
        (TITLES, SHOPS, OFFERS, NOTICES),
    ),
    (
        'A conference badge with the event "{}", the name "{}", the place "{}" and the date "{}".',
        (TITLES, NAMES, PLACES, DATES),
    ),
    (
        'A magazine cover named "{}" with three headlines: "{}", "{}" and "{}".',
        (TITLES, OFFERS, PLACES, NAMES),
    ),
    (
        'A railway hall: the clock board says "{}", signs say "{}" and "{}", a kiosk is called "{}" and a notice says "{}".',
        (DATES, PLACES, NOTICES, SHOPS, HOURS),
    ),
    (
        'A festival flyer with the title "{}", the guest "{}", the date "{}", the place "{}" and the line "{}".',
        (TITLES, NAMES, DATES, PLACES, OFFERS),
    ),
    (
        'A village square with five signs: "{}", "{}", "{}", "{}" and "{}".',
        (SHOPS, NOTICES, HOURS, PLACES, OFFERS),
    ),
)

TEXTLESS = (
    "A bowl of lemons on a blue cloth in morning light.", "A fox asleep under a fern, watercolour.",
    "An empty desert road under a wide evening sky.", "A close-up of raindrops on a spider's web.",
    "Three sailing boats on a calm grey sea.", "A portrait of an old fisherman with a white beard.",
    "A snow-covered forest at dawn, long shadows.", "A red bicycle leaning against a stone wall.",
    "A glass of water on a wooden table, studio light.", "A flock of starlings above a harvested field.",
    "A blank wooden signpost at a crossroads, with no writing on it.",
    "A white coffee mug without any print, on a plain table.",
    "A closed book with an empty leather cover.", "A shop front with an empty sign board above the door.",
    "A bare billboard beside a motorway, nothing printed on it.", "A birthday cake with candles and no lettering.",
    "An unlabelled glass bottle on a window sill.", "A plain black T-shirt on a hanger.",
    "A blank sheet of paper beside a fountain pen.", "A computer screen that is switched off, in a dark room.",
)  # fmt: skip
