-- include documents
-- As documents-put, and: the length so far, bytes that follow it. Returns 1, or 0 where another version is there.
local kind, id, version, tenant, due, goes, body, at, bytes = unpack(ARGV)
local known, before = stored(kind, id)
if known ~= tonumber(version) then return 0 end
local from, put = tonumber(at), 0
while put < #bytes do
  local segment = math.floor((from + put) / SEGMENT)
  local offset = from + put - segment * SEGMENT
  local part = string.sub(bytes, put + 1, put + SEGMENT - offset)
  call('SETRANGE', bytes_of(id, segment), offset, part)
  put = put + #part
end
keep(kind, id, string.format('%.0f', version + 1), tenant, due, goes, body, before)
return 1
