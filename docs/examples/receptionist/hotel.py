"""What the receptionist knows: answers about the hotel, each with examples of what guests ask, and how it books a room.

The provider `rules` compares what a guest says with the examples. Add a topic, or an example to one, and it is used.
Other LLMs read the answers in their instructions.
"""

from __future__ import annotations

from rtvi_plugins_rules import FunctionTexts, Topic

#: The price of a night, in euros.
PRICE = 80

TOPICS: dict[str, Topic] = {
    "price": {
        "examples": [
            "How much is a room?",
            "What does a night cost?",
            "What are your prices and rates?",
            "How much do you charge per night?",
            "How many euros is a single or a double?",
            "Do you have a discount or a special offer?",
            "Is that cheap or expensive?",
            "Can you give me a quote?",
            "Do we get a discount for a longer stay?",
        ],
        "answers": [
            f"A night costs {PRICE} euros for a room, for one or two people, and breakfast is included.",
            f"Every room is {PRICE} euros a night with breakfast, in summer and in winter.",
        ],
    },
    "availability": {
        "examples": [
            "Do you have a free room?",
            "Are there any rooms available?",
            "Do you have vacancies?",
            "Is there any availability in July?",
            "Are you fully booked?",
            "Is the hotel full at the weekend?",
            "Do you still have rooms left?",
            "Is there space for us?",
            "Is anything open on Friday?",
        ],
        "answers": [
            "Yes, we still have rooms. Would you like to book a room?",
            "There are rooms free at the moment. Would you like to book a room?",
        ],
    },
    "breakfast": {
        "examples": [
            "When is breakfast?",
            "Is breakfast included in the price?",
            "What is for breakfast?",
            "Do you serve eggs, bacon, bread and coffee?",
            "Can I have something to eat early in the morning?",
            "Do you have a vegan or gluten free breakfast?",
            "Do I pay extra for the breakfast buffet?",
        ],
        "answers": [
            "Breakfast is included. It is a buffet with eggs, fruit and fresh bread, from seven to half past ten.",
            "We serve breakfast from seven to half past ten, and it costs nothing extra. We can pack a bag too.",
        ],
    },
    "check_in": {
        "examples": [
            "When can I check-in?",
            "What is the check-in time?",
            "Is an early check-in possible?",
            "How early can we come to our room?",
            "When is the room ready?",
            "From what time can I have the key?",
            "Can I arrive in the morning?",
            "Can we check in at noon, or a little before?",
            "What is the earliest time for us to come?",
        ],
        "answers": [
            "Check-in starts at three in the afternoon. Often a room is ready earlier: just ask when you arrive.",
            "Your room is ready from three in the afternoon. You may come earlier and leave your luggage with us.",
        ],
    },
    "check_out": {
        "examples": [
            "When is check-out?",
            "What is the check-out time?",
            "Until when can I keep the room?",
            "When do we have to leave on the last day?",
            "Is a late check-out possible?",
            "Can we stay longer on the day we leave?",
            "When must we be out of the room?",
        ],
        "answers": [
            "Check-out is at eleven. If the room is free, you may keep it until two in the afternoon for ten euros.",
            "Please leave your room by eleven in the morning. A late check-out until two costs ten euros.",
        ],
    },
    "late_arrival": {
        "examples": [
            "We arrive late in the evening.",
            "Can I come after midnight?",
            "Is the reception open at night?",
            "How late is somebody at the front desk?",
            "My flight lands late, how do I get in?",
            "Our train is delayed and we come late.",
            "Is the door locked at night?",
            "Can we check in in the middle of the night?",
        ],
        "answers": [
            "No problem. The desk is open until eleven at night, and after that a code opens the door and the key box.",
            "Come as late as you like. After eleven at night you open the door with a code that we send you.",
        ],
    },
    "parking": {
        "examples": [
            "Can I park my car?",
            "Is there parking?",
            "Do you have a garage or a car park?",
            "How much does parking cost?",
            "Where do we leave the car?",
            "Can I charge an electric vehicle?",
            "Must I reserve a parking space?",
            "Is there room for a van or a motorbike?",
        ],
        "answers": [
            "Parking is free, right behind the hotel, and two places have a charger for electric cars.",
            "You can park behind the hotel at no cost, and you need not reserve a place.",
        ],
    },
    "cancelling": {
        "examples": [
            "Can I cancel?",
            "I want to cancel my booking.",
            "What does it cost to cancel a reservation?",
            "What are the cancellation terms?",
            "I cannot come after all.",
            "Please call off my reservation.",
            "Do I get a refund?",
            "Can I get my money back if I am ill?",
            "We have to change our plans.",
        ],
        "answers": [
            "You can cancel free of charge until six in the evening of the day before. Just call us with your name.",
            "Cancelling costs nothing until the evening before you arrive. After that we charge one night.",
        ],
    },
    "view": {
        "examples": [
            "Is there a room with a sea view?",
            "Do the rooms have a view of the sea?",
            "Can you see the ocean or the harbour?",
            "I want a window that faces the water.",
            "Does a room with a view cost more?",
            "Do you have balconies?",
            "What do you see from the window?",
        ],
        "answers": [
            "Eight of our twelve rooms look out on the sea, at the same price. Those on the top floor have a balcony.",
            "Most rooms have a sea view, and it costs nothing extra.",
        ],
    },
    "pets": {
        "examples": [
            "Are pets allowed?",
            "Can I bring my dog?",
            "Do you take cats and dogs?",
            "Are you pet friendly?",
            "What does a dog cost?",
            "Do you accept animals?",
            "I have a puppy.",
        ],
        "answers": [
            "Pets are welcome. A dog or a cat costs ten euros a night, and guide dogs stay for free.",
            "Yes, bring your pet. We charge ten euros a night and put a blanket and a bowl in the room.",
        ],
    },
    "directions": {
        "examples": [
            "Where are you?",
            "How do I get to the hotel?",
            "What is the address?",
            "Where is the hotel located?",
            "How far are you from the station?",
            "Which bus or train do I take?",
            "How do we find you when driving?",
            "Tell me the way, please.",
            "Is it near the town centre?",
        ],
        "answers": [
            "We are at 5 Harbour Street. From the station it is ten minutes on foot, or two stops with bus 4.",
            "Our address is 5 Harbour Street, ten minutes on foot from the station and from the centre of town.",
        ],
    },
    "transfer": {
        "examples": [
            "Is there a shuttle from the airport?",
            "Can somebody pick us up at the airport?",
            "Do you have an airport transfer?",
            "How do I get to the airport?",
            "How far is the airport?",
            "How much is a taxi to the airport?",
            "Can you order a taxi or a cab?",
            "Do you have a pick-up service from the terminal?",
            "Does somebody collect me?",
        ],
        "answers": [
            "The airport is half an hour away. We pick you up for thirty euros; tell us the day before.",
            "Our airport transfer costs thirty euros. A taxi costs about forty, and bus 9 goes every half hour.",
        ],
    },
    "wifi": {
        "examples": [
            "Is there wi-fi?",
            "What is the wi-fi password?",
            "Do you have internet in the room?",
            "Is the internet connection fast?",
            "Is the wireless network free?",
            "Can I get online with my laptop?",
            "Can I make video calls and work?",
        ],
        "answers": [
            "Wi-fi is free and fast in every room. The password is on your key card.",
            "Yes, we have free internet in the whole house. You find the password on your key card.",
        ],
    },
    "pool": {
        "examples": [
            "Do you have a pool?",
            "Can I go swimming in the hotel?",
            "Is there a spa or a sauna?",
            "Do you have a gym or a fitness room?",
            "Can I get a massage?",
            "Is the pool warm or heated?",
            "Where can I exercise and work out?",
        ],
        "answers": [
            "We have a small sauna in the cellar, open from four to nine, but no pool and no gym. The sea is near.",
            "There is no pool and no gym, but a sauna, which is free for guests from four to nine.",
        ],
    },
    "restaurant": {
        "examples": [
            "Is there a restaurant?",
            "Can I have dinner in the hotel?",
            "When is dinner?",
            "Where can we eat in the evening?",
            "Do you serve lunch or supper?",
            "Is there a bar for drinks?",
            "What is on the menu?",
            "Do you have room service?",
            "Can I reserve a table?",
            "I am vegetarian.",
        ],
        "answers": [
            "Our restaurant serves dinner from six to ten, with fresh fish and vegetarian dishes. There is also a bar.",
            "You can have dinner with us from six to ten. For lunch, we recommend the cafés at the harbour.",
        ],
    },
    "children": {
        "examples": [
            "Can we bring children?",
            "Do children pay?",
            "Do you have a cot or a crib for a baby?",
            "Can you put an extra bed in the room for my daughter?",
            "Is there a family room for four?",
            "Our son is two years old.",
            "Are you family friendly?",
            "I have a toddler and need a high chair.",
        ],
        "answers": [
            "Children are very welcome, and stay for free up to the age of twelve. Cots and extra beds cost nothing.",
            "Families like it here. We put a cot or an extra bed into your room at no cost.",
        ],
    },
    "payment": {
        "examples": [
            "How can I pay?",
            "Do you take credit cards?",
            "Can I pay in cash?",
            "Do you accept Visa, Mastercard or American Express?",
            "Is there a deposit?",
            "When do I have to pay?",
            "Do I pay in advance or at the end?",
            "I need a receipt or an invoice for my company.",
            "Can I pay with dollars or my phone?",
        ],
        "answers": [
            "You pay when you leave, in euros: in cash, by card or by phone. We need no deposit.",
            "We take all usual cards and cash, at the end of your stay, and write an invoice if you need one.",
        ],
    },
    "luggage": {
        "examples": [
            "Can I leave my luggage?",
            "Where can we put our bags after check-out?",
            "Can you store my suitcase?",
            "Can we drop off our baggage in the morning?",
            "Is there a locker?",
            "Who carries the bags upstairs?",
            "Where do I keep my bicycle?",
        ],
        "answers": [
            "We keep your luggage for free, before check-in and after check-out. Bicycles have a locked room.",
            "Leave your bags at the desk, as long as you like. We carry them upstairs too.",
        ],
    },
    "accessibility": {
        "examples": [
            "Is the hotel accessible?",
            "I am in a wheelchair.",
            "Is there a lift or an elevator?",
            "Are there stairs or steps?",
            "My father walks badly and cannot climb stairs.",
            "Do you have a room on the ground floor?",
            "Is the bathroom suitable for disabled guests?",
        ],
        "answers": [
            "There is a lift to all floors and no step at the entrance. Two rooms have wide doors and level showers.",
            "Yes, the house is accessible for wheelchairs, with a lift and two adapted rooms on the ground floor.",
        ],
    },
    "smoking": {
        "examples": [
            "Can I smoke?",
            "Is smoking allowed?",
            "Do you have smoking rooms?",
            "Where may I have a cigarette?",
            "I am a smoker and need an ashtray.",
            "Is it a non-smoking hotel?",
            "Can I vape in the room?",
        ],
        "answers": [
            "All rooms are smoke-free. You may smoke in the garden and on the balconies.",
            "Smoking is allowed outside only: in the garden and on the balconies. That goes for vaping too.",
        ],
    },
    "equipment": {
        "examples": [
            "What is in the rooms?",
            "Does the room have a television or a TV?",
            "Is there air conditioning or heating?",
            "Are towels and a hairdryer in the bathroom?",
            "Is there a private bathroom with a shower?",
            "Can I make tea or coffee in the room?",
            "Is there a fridge, a kettle, an iron or a safe?",
            "How large are the room and the beds?",
        ],
        "answers": [
            "Every room has its own bathroom, a large bed, a television, a kettle, a fridge, a hairdryer and towels.",
            "You find a bathroom, a television, a kettle and air conditioning in every room. The desk has an iron.",
        ],
    },
    "surroundings": {
        "examples": [
            "How far is it to the beach?",
            "What is there to do here?",
            "What can we see in town?",
            "Can you recommend sights, museums or a trip?",
            "What do we do when it rains?",
            "Where can we go for a walk or a hike?",
            "Can I rent or hire a bike?",
            "Are there shops nearby?",
        ],
        "answers": [
            "The sandy beach is two minutes away. The old harbour, the lighthouse and the coast path are near too.",
            "You can walk along the coast, visit the lighthouse or the sea museum, and rent a bike next door.",
        ],
    },
    "quiet": {
        "examples": [
            "Is it quiet?",
            "Is there noise from the street?",
            "Do you hear the traffic at night?",
            "I want a quiet room.",
            "Is the hotel loud or noisy?",
            "I sleep badly.",
            "Are there parties?",
            "How thick are the walls?",
        ],
        "answers": [
            "It is quiet here: you hear the sea, and hardly any cars. The quietest rooms look out on the garden.",
            "Our street has hardly any traffic at night. Ask for a room to the garden if you sleep lightly.",
        ],
    },
    "person": {
        "examples": [
            "Can I speak to a person?",
            "I want to talk to a human.",
            "Give me a real person.",
            "Connect me with the manager.",
            "Can I talk to somebody else, please?",
            "Put me through to your staff or a colleague.",
            "I have a complaint.",
            "What is your phone number?",
            "What is your e-mail address?",
            "I want to speak to the owner or the boss.",
        ],
        "answers": [
            "I cannot put you through, but my colleagues at the desk help you every day from seven to eleven at night.",
            "There are people at the desk from seven in the morning to eleven at night. Please come by or call then.",
        ],
    },
}

FUNCTIONS: dict[str, FunctionTexts] = {
    "book_room": {
        "examples": [
            "Book a room, please.",
            "I want to make a reservation.",
            "I would like to reserve a double room.",
            "A room for two nights.",
            "We want to stay for three nights from Friday.",
            "I need a room tonight.",
            "Can you book me in for the weekend?",
            "Put me down for tomorrow.",
        ],
        "questions": {
            "nights": ["How many nights would you like to stay?", "For how many nights, please?"],
            "name": ["And what is your name?", "Which name shall I write down?"],
        },
        "confirmation": f"{{nights:night}} for {{name}}[ from {{day}}], {{nights * {PRICE}}} euros. Shall I book it?",
        "result": "It is booked, {name}: room {room} for {nights:night}[ from {day}], {euros} euros. See you soon!",
        "declined": "All right, I have not booked anything. Is there anything else?",
    },
}

FALLBACKS = [
    "I am sorry, I did not understand. Ask me about prices, breakfast or parking, or say: book a room for two nights.",
    "I do not know that either. I can tell you about check-in, pets, wi-fi or the way to us, and I can book a room.",
    "That is beyond me. Try a short question, such as: is breakfast included? Or say: book a room.",
]
