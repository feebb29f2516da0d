"""What the writer keeps in Redis, and the steps that have to happen there as one."""

from __future__ import annotations

from typing import Final

from assay.collector.queue import GROUP, STREAM

LOCK: Final = "assay:writer:lock"
NOTE: Final = "assay:writer:note"
# Exists while a correction is under way, and after one was cut off.
CORRECTING: Final = "assay:writer:correcting"
STATUS: Final = "assay:writer:status"
PARKED: Final = "assay:writer:parked"
PARKED_DUE: Final = "assay:writer:parked:due"
LOAD_COUNTS_SECONDS: Final = 86_400


def alive(consumer: str) -> str:
    """Key that exists while the consumer renews it."""
    return f"assay:writer:alive:{consumer}"


# A note is written only by the holder of the lock, and never over another.
# KEYS lock, note. ARGV lock token, block token, note.
WRITE_NOTE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('HSET', KEYS[2], 'token', ARGV[2], 'body', ARGV[3])
return 1
"""

# Entries count for their load only when this acknowledgement is the first: two writers may finish a block.
# KEYS note, parked, due. ARGV block token; MessagePack of [id, load key or "", accepted, duplicates,
# rejected] per entry; then of each record to park its name, when it is due (ms), and its value.
FINISH: Final = f"""
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
for _, entry in ipairs(cmsgpack.unpack(ARGV[2])) do
    local first = redis.call('XACK', '{STREAM}', '{GROUP}', entry[1])
    redis.call('XDEL', '{STREAM}', entry[1])
    if first == 1 and entry[2] ~= '' then
        redis.call('HINCRBY', entry[2], 'accepted', entry[3])
        redis.call('HINCRBY', entry[2], 'duplicates', entry[4])
        redis.call('HINCRBY', entry[2], 'rejected', entry[5])
        redis.call('EXPIRE', entry[2], {LOAD_COUNTS_SECONDS})
    end
end
for i = 3, #ARGV, 3 do
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 2])
    redis.call('ZADD', KEYS[3], ARGV[i + 1], ARGV[i])
end
redis.call('DEL', KEYS[1])
return 1
"""

# What is due goes back into the queue. A parked value is "since tries loaded envelope".
# KEYS parked, due. ARGV most.
RELEASE: Final = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local members = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, member in ipairs(members) do
    local value = redis.call('HGET', KEYS[1], member)
    if value then
        local since, tries, loaded, envelope = string.match(value, '^(%d+) (%d+) (%d+) (.*)$')
        redis.call(
            'XADD', '{STREAM}', '*', 'e', envelope, 'since', since, 'tries', tries, 'loaded', loaded
        )
    end
    redis.call('HDEL', KEYS[1], member)
    redis.call('ZREM', KEYS[2], member)
end
return #members
"""

# A consumer that is gone is forgotten only when nothing is delivered to it: its pending entries would go
# with it. KEYS alive. ARGV consumer.
FORGET: Final = f"""
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if #redis.call('XPENDING', '{STREAM}', '{GROUP}', '-', '+', 1, ARGV[1]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', '{STREAM}', '{GROUP}', ARGV[1])
return 1
"""
