-- The token log's part of a script. A log is a list of chunks; the last one is the end record's. A chunk: HEADER
-- (flags, epoch, first seq, records, chunks back to where it can be read from, bytes of its records), encoded records.
-- A frame is a chunk on its way: FRAME (id, attempt, number of the chunk, chunk). See log/chunk.ts.
local HEADER = '>BI6I4I3I2I4'
local FRAME = '>Bc0I4I4I4c0'
local END, OPENING = 1, 2
local EPOCHS_KEPT = 1000

local log_epochs, log_followers = S .. ':epochs', S .. ':fol'

local function log_key(id)
  return S .. ':l:' .. id
end

local log_epoch_now = nil

-- The current epoch. A server with another run_id may have lost what the last one had: from then on there is a new
-- epoch, drawn with `random` so that none that was lost is drawn again.
local function log_epoch(random)
  if log_epoch_now then return log_epoch_now end
  local server = string.match(call('INFO', 'server'), 'run_id:(%x+)')
  local epoch, last = string.match(call('LINDEX', log_epochs, 0) or '', '^(%d+) (%x+)$')
  if last == server then
    log_epoch_now = tonumber(epoch)
    return log_epoch_now
  end
  epoch = epoch and tonumber(epoch) + 1 + tonumber(random) or 1
  call('LPUSH', log_epochs, string.format('%.0f %s', epoch, server))
  call('LTRIM', log_epochs, 0, EPOCHS_KEPT - 1)
  log_epoch_now = epoch
  return epoch
end

-- Of a chunk: flags, epoch, first seq, last seq, back, bytes.
local function log_header(chunk)
  local flags, epoch, first, count, back, bytes = struct.unpack(HEADER, chunk)
  return flags, epoch, first, first + count - 1, back, bytes
end

local function log_last(chunk)
  local _, _, _, last = log_header(chunk)
  return last
end

local function log_frame(id, attempt, number, chunk)
  return struct.pack('>B', #id) .. id .. struct.pack('>I4I4I4', attempt, number, #chunk) .. chunk
end

-- Whether a process is among `followers`, names separated by spaces.
local function log_has(followers, process)
  return string.find(' ' .. followers .. ' ', ' ' .. process .. ' ', 1, true) ~= nil
end

local function log_add(id, process)
  local followers = call('HGET', log_followers, id) or ''
  if log_has(followers, process) then return end
  call('HSET', log_followers, id, followers == '' and process or followers .. ' ' .. process)
end

-- Returns who is left.
local function log_drop(id, process)
  local left = {}
  for each in string.gmatch(call('HGET', log_followers, id) or '', '%S+') do
    if each ~= process then left[#left + 1] = each end
  end
  local followers = table.concat(left, ' ')
  if followers == '' then
    call('HDEL', log_followers, id)
  else
    call('HSET', log_followers, id, followers)
  end
  return followers
end

local function log_varint(n)
  local bytes = ''
  while n >= 128 do
    bytes = bytes .. string.char(128 + n % 128)
    n = math.floor(n / 128)
  end
  return bytes .. string.char(n)
end

-- How far a log goes: its last seq, and the epoch of that record.
local function log_tip(id)
  local last = call('LINDEX', log_key(id), -1)
  if not last then return 0, 0 end
  local _, epoch, _, head = log_header(last)
  return head, epoch
end

local function log_end_chunk(epoch, seq, record)
  return struct.pack(HEADER, END, epoch, seq, 1, 0, #record) .. '\0' .. log_varint(#record) .. record
end

-- Ends a log with its end record, once, and tells who follows it (where that is known already: `followers`). `empty`:
-- nothing should be there yet. Returns the epoch and seq of the end, and how many chunks there are (nil: it had ended).
local function log_end(id, record, random, followers, empty)
  local key, epoch, head, chunks = log_key(id), log_epoch(random), 0, 0
  local chunk = log_end_chunk(epoch, 1, record)
  if empty then
    chunks = call('RPUSH', key, chunk)
    if chunks > 1 then call('RPOP', key) end
  end
  if chunks ~= 1 then
    local last = call('LINDEX', key, -1)
    if last then
      local flags, of, _, seq = log_header(last)
      if flags % 2 == END then return of, seq end
      head = seq
      chunk = log_end_chunk(epoch, head + 1, record)
    end
    chunks = call('RPUSH', key, chunk)
  end
  followers = followers or call('HGET', log_followers, id) or ''
  if followers ~= '' then
    local frame = log_frame(id, 0, chunks - 1, chunk)
    for process in string.gmatch(followers, '%S+') do call(PUBLISH, S .. ':t:' .. process, frame) end
    call('HDEL', log_followers, id)
  end
  return epoch, head + 1, chunks
end
