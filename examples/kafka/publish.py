"""Publishes jobs to a pool of Sluice through Kafka: python publish.py HOST:PORT [TOPIC] [MODEL]"""

import json
import sys
import uuid

from kafka import KafkaProducer

broker, topic, model = (sys.argv[1:] + ["sluice.text", "demo"])[:3] if len(sys.argv) == 2 else sys.argv[1:4]
producer = KafkaProducer(bootstrap_servers=broker, acks="all", enable_idempotence=True)

lane = "order-42"
for question in ["Name a river.", "Name another river."]:
    job = {
        # Names the job: published twice, it is still one
        "id": str(uuid.uuid4()),
        # Jobs of a lane run one after the other…
        "lane": lane,
        "request": {"model": model, "messages": [{"role": "user", "content": question}]},
    }
    # …in the order of their key's partition
    stored = producer.send(topic, key=lane.encode(), value=json.dumps(job).encode()).get(timeout=30)
    print(job["id"], f"{stored.topic}:{stored.partition}:{stored.offset}")
producer.close()
