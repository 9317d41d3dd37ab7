-- Documents. Of a kind: a hash, id to text; the ids of all, and of each tenant, in their order; and when one is due.
-- Of all kinds: when one goes. A text is "<version> <due at> <goes at> <bytes of the tenant's name> <tenant><body>",
-- with '-' for what is not set.
local EXPIRE = S .. ':doc:expire'
local function documents(kind) return S .. ':doc:' .. kind end
local function ids_of(kind, tenant) return documents(kind) .. ':of:' .. tenant end

-- Its version, or 0; and its tenant.
local function stored(kind, id)
  local text = call('HGET', documents(kind), id)
  if not text then return 0 end
  local version, bytes, at = string.match(text, '^(%d+) %S+ %S+ (%d+) ()')
  return tonumber(version), string.sub(text, at, at + bytes - 1)
end

-- Bytes of files: segments of this size, a key each, which go with the document.
local SEGMENT = 262144
local function bytes_of(id, segment) return S .. ':file:' .. id .. ':' .. string.format('%.0f', segment) end
local function drop_bytes(id)
  local text = call('HGET', documents('file'), id)
  local bytes = text and tonumber(string.match(text, '"bytes":(%d+)[,}]')) or 0
  for segment = 0, math.ceil(bytes / SEGMENT) - 1 do call('UNLINK', bytes_of(id, segment)) end
end

local function drop(kind, id, tenant)
  local all = documents(kind)
  if kind == 'file' then drop_bytes(id) end
  call('HDEL', all, id)
  call('ZREM', all .. ':ids', id)
  call('ZREM', all .. ':due', id)
  call('ZREM', ids_of(kind, tenant), id)
  call('ZREM', EXPIRE, kind .. ' ' .. id)
end

local function index(key, at, member)
  if at == '-' then call('ZREM', key, member) else call('ZADD', key, at, member) end
end

-- Of a tenant that `before` had another one of.
local function keep(kind, id, version, tenant, due, goes, body, before)
  local all = documents(kind)
  if before and before ~= tenant then call('ZREM', ids_of(kind, before), id) end
  call('HSET', all, id, version .. ' ' .. due .. ' ' .. goes .. ' ' .. #tenant .. ' ' .. tenant .. body)
  call('ZADD', all .. ':ids', 0, id)
  call('ZADD', ids_of(kind, tenant), 0, id)
  index(all .. ':due', due, id)
  index(EXPIRE, goes, kind .. ' ' .. id)
end

-- Texts of these ids, up to about so many bytes: {whether that was all, id, text, …}.
local function texts(kind, ids, bytes)
  local found, left = { 1 }, tonumber(bytes)
  for _, id in ipairs(ids) do
    if left <= 0 then
      found[1] = 0
      break
    end
    local text = call('HGET', documents(kind), id)
    if text then
      found[#found + 1] = id
      found[#found + 1] = text
      left = left - #text
    end
  end
  return found
end
