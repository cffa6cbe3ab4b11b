"""Which numbers of which producers arrived."""
import bisect
import operator


class Producers:
    """Which numbers of each (producer, epoch) were seen, as disjoint ranges [start, end)."""

    def __init__(self):
        self.ranges = {}
        self.declared = {}  # (producer, epoch) → [(first, last)] from `gap` entries

    def seen(self, producer, epoch, number):
        """Takes note of a number; False when it was seen before."""
        ranges = self.ranges.setdefault((producer, epoch), [])
        if ranges and ranges[-1][1] == number:
            ranges[-1][1] = number + 1
            return True
        place = bisect.bisect_right(ranges, number, key=operator.itemgetter(0))
        if place and number < ranges[place - 1][1]:
            return False
        if place and ranges[place - 1][1] == number:
            ranges[place - 1][1] = number + 1
        else:
            ranges.insert(place, [number, number + 1])
            place += 1
        if place < len(ranges) and ranges[place][0] == number + 1:
            ranges[place - 1][1] = ranges.pop(place)[1]
        return True

    def declare(self, producer, epoch, first, last):
        """A `gap` entry speaks for these numbers."""
        self.declared.setdefault((producer, epoch), []).append((first, last))

    def union(self, arrived):
        """Takes in numbers, whether they are known or not: {(producer, epoch): [(first, last)]}."""
        for key, intervals in arrived.items():
            joined = []
            for start, end in sorted(self.ranges.get(key, []) + [[first, last + 1] for first, last in intervals]):
                if joined and start <= joined[-1][1]:
                    joined[-1][1] = max(end, joined[-1][1])
                else:
                    joined.append([start, end])
            self.ranges[key] = joined

    def gaps(self):
        """(producer, epoch, first, last) of each missing range that no `gap` entry covers."""
        for (producer, epoch), ranges in self.ranges.items():
            expected = 0
            for start, end in ranges:
                if start > expected and not self._covered(producer, epoch, expected, start):
                    yield producer, epoch, expected, start - 1
                expected = end

    def _covered(self, producer, epoch, start, end):
        for first, last in sorted(self.declared.get((producer, epoch), [])):
            if first <= start <= last:
                start = last + 1
        return start >= end
