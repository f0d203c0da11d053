"""What can be done with entities and their indexes: the use cases behind routes, console and activities.

| module       | what it does                                                                            |
|--------------|-----------------------------------------------------------------------------------------|
| `entities`   | one entity at a time: write, read, remove; candidates, pairs and groups                 |
| `batches`    | accepts a batch of entities as a job, and shows its status and results                  |
| `corrections`| labels, splits and merges of groups, and undoing them                                   |
| `indexes`    | creates, changes and lists indexes; starts a re-index or a tuning                       |
| `quality`    | how good an index is, and what to do about it                                           |
| `indexing`   | the chunks of a batch                                                                   |
| `reindexing` | the chunks of a re-index                                                                |
| `candidates` | which entities are worth comparing                                                      |
| `matching`   | the model of an index, and how candidate pairs score by it                              |
| `deciding`   | verdicts and groups                                                                     |
| `labelling`  | labels as constraints of what is decided                                                |
| `naming`     | names of groups that last, and the events of their changes                              |
| `training`   | when and how an index's model is trained                                                |
| `dynamic`    | the `default` index, which takes every field that appears                               |

The last seven are steps that the others share.
"""
