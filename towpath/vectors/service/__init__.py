"""What can be done with vectors: the use cases behind routes and activities.

| module   | what it does                                                                 |
|----------|------------------------------------------------------------------------------|
| `tasks`  | accepts upsertion and deletion tasks, shows and lists them                   |
| `chunks` | works through the pages of tasks, and keeps the index in order               |
| `search` | answers searches and counts                                                  |
"""
