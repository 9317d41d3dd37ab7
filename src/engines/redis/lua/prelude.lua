-- Before every script: PUBLISH and NUMSUB are set by client/scripts.ts, S is the shard's name (client/names.ts).
local S = KEYS[1]
local call = redis.call
