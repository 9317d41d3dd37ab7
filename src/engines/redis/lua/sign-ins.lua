-- Who is signed in: hashes of digests, "<role> <end, ms>".
local CODES, SESSIONS, SEEN = S .. ':signin:codes', S .. ':signin', S .. ':signin:seen'
-- What two machines' clocks may differ by, after a failover
local BACK_MS = 5000

-- An end is a time of Redis's clock. Where that was turned back, all would last longer: nobody is signed in then.
local time = call('TIME')
local seen = time[1] * 1000 + math.floor(time[2] / 1000)
if seen < tonumber(call('GET', SEEN) or 0) - BACK_MS then call('DEL', CODES, SESSIONS) end
call('SET', SEEN, string.format('%.0f', seen))

local function read(entry)
  local role, ends = string.match(entry, '^(%a+) (%d+)$')
  return role, tonumber(ends)
end

-- Its role, or nil where it is too old. It is there no longer.
local function take(from, digest, now)
  local entry = call('HGET', from, digest)
  if not entry then return nil end
  call('HDEL', from, digest)
  local role, ends = read(entry)
  if ends > now then return role end
end

-- Of more than `most`, the one that ends first goes.
local function add(to, most, digest, role, ends, now)
  local all, first, left = call('HGETALL', to), nil, 0
  local first_ends = math.huge
  for i = 1, #all, 2 do
    local _, its_end = read(all[i + 1])
    if its_end <= now then
      call('HDEL', to, all[i])
    else
      left = left + 1
      if its_end < first_ends then first, first_ends = all[i], its_end end
    end
  end
  if left >= most then call('HDEL', to, first) end
  call('HSET', to, digest, role .. ' ' .. string.format('%.0f', ends))
end
