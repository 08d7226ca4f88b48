"""FILE PORT CONCURRENCY: the same work as `floor`, with the product's own loop.

Looks at each address, judges it and counts the verdicts: `mailseal scan` without its command line
and its records. Prints of how many it knows what they are.
"""

import sys

from mailseal.assess import assess
from mailseal.model.finding import Verdict
from mailseal.model.look import Endpoint
from mailseal.probe.look import Question
from mailseal.probe.loop import Scan


def main(file: str, port: int, concurrency: int) -> int:
    with open(file, encoding="ascii") as lines:
        addresses = lines.read().split()
    questions = (Question(Endpoint(address, port)) for address in addresses)
    results = Scan(concurrency).results(questions)
    return sum(assess([seen]).verdict is not Verdict.INCONCLUSIVE for seen in results)


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
