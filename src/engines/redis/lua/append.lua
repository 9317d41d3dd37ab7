-- include room
-- include log
-- Stores a flush of many attempts: for each a chunk, if it is still the job's attempt and the chunk is the log's next.
-- ARGV: own process, a random number where the sender may be at another server than before (else ''), the number of
-- groups; of each group its
-- followers and its frames; then notes: id, attempt, 'command' for the inbox or 'ttft' of the job, text, last seq of
-- the log before a command: where Redis has lost some of it, the attempt is over. Repeating it changes nothing. Returns
-- what its sender must know, in threes: index of the frame (or note, after them), what, value.
--   'x' refused: the attempt is over · 'e' it has an old epoch, this is the current one (index 0: of this server) ·
--   'n' its number is this · 'f' who follows now
-- Fields and commands of one entry of the inbox.
local VALUES_AN_ENTRY = 128

local run, self, groups = S .. ':run', ARGV[1], tonumber(ARGV[3])

local ids, attempts, numbers, chunks, starts, ends, n = {}, {}, {}, {}, {}, {}, 0
local last_of = {}
for g = 1, groups do
  local frames = ARGV[3 + 2 * g]
  local at, size = 1, #frames
  while at <= size do
    n = n + 1
    starts[n] = at
    ids[n], attempts[n], numbers[n], chunks[n], at = struct.unpack(FRAME, frames, at)
    ends[n] = at - 1
  end
  last_of[g] = n
end

local epoch = ARGV[2] ~= '' and log_epoch(ARGV[2])
local rows = n > 0 and call('HMGET', run, unpack(ids)) or {}
local following = n > 0 and call('HMGET', log_followers, unpack(ids)) or {}
local answer, refused = {}, {}
-- Last seq of logs whose last chunk was stored just now
local tips = {}

local function tell(i, what, value)
  local m = #answer
  answer[m + 1], answer[m + 2], answer[m + 3] = i, what, value
end

local fences = {}
-- Whether a row of `run` is this attempt's, of a worker of this process: what Redis has lost is counted anew, and a
-- number may be another process's by now.
local function is_held(row, attempt)
  local fence = fences[attempt]
  if fence == nil then
    fence = string.format('%.0f %s.', attempt, self)
    fences[attempt] = fence
  end
  return row and string.sub(row, 1, #fence) == fence
end

-- Where the epoch is to be checked: whether a chunk that is not stored yet has an old one. What it had before may be
-- another attempt's text, which Redis has lost.
local function is_old(i, chunk)
  if not epoch then return false end
  local _, of = log_header(chunk)
  if of == epoch then return false end
  tell(i, 'e', epoch)
  return true
end

-- An attempt's first chunk: it goes on where the log ends.
local function open(i, key, chunk)
  local last = call('LINDEX', key, -1)
  local head = 0
  if last == chunk then
    tell(i, 'n', call('LLEN', key) - 1)
    return true
  end
  if last then head = log_last(last) end
  local _, _, first = log_header(chunk)
  if first ~= head + 1 then
    tell(i, 'x', '')
    return false
  end
  if is_old(i, chunk) then return false end
  local number = call('RPUSH', key, chunk) - 1
  tips[ids[i]] = log_last(chunk)
  if number > 0 then tell(i, 'n', number) end
  return true
end

-- Stores a chunk; false if that can't be.
local function store(i)
  local key, chunk, number = log_key(ids[i]), chunks[i], numbers[i]
  if not is_held(rows[i], attempts[i]) then
    tell(i, 'x', '')
    return false
  end
  if string.byte(chunk) == OPENING then return open(i, key, chunk) end
  if epoch and call('LINDEX', key, number) ~= chunk and is_old(i, chunk) then return false end
  local length = call('RPUSH', key, chunk)
  if length == number + 1 then
    tips[ids[i]] = log_last(chunk)
    return true
  end
  call('RPOP', key)
  -- After a cut it may be there already: this very chunk, for an attempt may have been given away twice
  if length - 1 > number and call('LINDEX', key, number) == chunk then return true end
  tell(i, 'x', '')
  return false
end

local i = 0
for g = 1, groups do
  local expected, frames, first = ARGV[2 + 2 * g], ARGV[3 + 2 * g], i + 1
  local kept = nil
  while i < last_of[g] do
    i = i + 1
    if store(i) then
      if kept then kept[#kept + 1] = string.sub(frames, starts[i], ends[i]) end
      local now = following[i] or ''
      if now ~= expected then
        tell(i, 'f', now)
        for process in string.gmatch(now, '%S+') do
          if process ~= self and not log_has(expected, process) then
            call(PUBLISH, S .. ':t:' .. process, string.sub(frames, starts[i], ends[i]))
          end
        end
      end
    else
      refused[ids[i]] = true
      if kept == nil then
        kept = {}
        for k = first, i - 1 do kept[#kept + 1] = string.sub(frames, starts[k], ends[k]) end
      end
    end
  end
  if kept then frames = table.concat(kept) end
  if frames ~= '' then
    for process in string.gmatch(expected, '%S+') do
      if process ~= self and call(PUBLISH, S .. ':t:' .. process, frames) == 0 then
        -- Nobody is there: it follows anew when it is back
        for k = first, i do
          if log_has(following[k] or '', process) then
            following[k] = log_drop(ids[k], process)
            tell(k, 'f', following[k])
          end
        end
      end
    end
  end
end

local first_note, noted = 4 + 2 * groups, {}
for at = first_note, #ARGV, 5 do noted[#noted + 1] = ARGV[at] end
local note_rows = #noted > 0 and call('HMGET', run, unpack(noted)) or {}
local ttfts, commands = {}, {}

-- Whether a log lacks what a command follows. A first attempt that wrote nothing follows nothing.
local function is_short(id, attempt, head)
  if head == '0' and attempt == '1' then return false end
  return (tips[id] or log_tip(id)) ~= tonumber(head)
end

for k, id in ipairs(noted) do
  local at = first_note + 5 * (k - 1)
  local kind, text = ARGV[at + 2], ARGV[at + 3]
  local is_over = refused[id] or not is_held(note_rows[k], tonumber(ARGV[at + 1]))
  if is_over or (kind == 'command' and is_short(id, ARGV[at + 1], ARGV[at + 4])) then
    tell(i + k, 'x', '')
  elseif kind == 'ttft' then
    ttfts[#ttfts + 1], ttfts[#ttfts + 2] = id, text
  else
    commands[#commands + 1], commands[#commands + 2] = 'c', text
  end
end
if #ttfts > 0 then call('HSET', S .. ':ttft', unpack(ttfts)) end
for from = 1, #commands, VALUES_AN_ENTRY do
  call('XADD', S .. ':inbox', '*', unpack(commands, from, math.min(from + VALUES_AN_ENTRY - 1, #commands)))
end
if epoch then tell(0, 'e', epoch) end
return answer
