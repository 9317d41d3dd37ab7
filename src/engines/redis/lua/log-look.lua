-- include log
-- ARGV: a process that follows these logs from now on or '', ids. Returns of each log its head (-1: there is none) and
-- the epoch of its last record.
local process = ARGV[1]
local answer = {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local last = call('LINDEX', log_key(id), -1)
  local live = call('HEXISTS', S .. ':live', id) == 1
  local head, epoch, ended = live and 0 or -1, 0, false
  if last then
    local flags, of, _, seq = log_header(last)
    head, epoch, ended = seq, of, flags % 2 == END
  end
  if process ~= '' and live and not ended then log_add(id, process) end
  answer[#answer + 1], answer[#answer + 2] = head, epoch
end
return answer
