import Memslots
