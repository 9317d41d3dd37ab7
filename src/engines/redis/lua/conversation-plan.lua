-- include conversations
-- tenant, id, index of a turn or ''. What is there to be removed: false, or {seq of its newest turn or job, seq of the
-- turn at the index, where a job that has not ended counts as the turn that it will be, or ''; job, seq, job, seq …}.
local name = conversation_name(ARGV[1], ARGV[2])
local turns = S .. ':ct:' .. name
if call('EXISTS', S .. ':c:' .. name) == 0 then return false end
local jobs = call('ZRANGE', S .. ':cj:' .. name, 0, -1, 'WITHSCORES')
local newest = call('ZREVRANGE', turns, 0, 0, 'WITHSCORES')[2] or '-1'
if #jobs > 0 and tonumber(jobs[#jobs]) > tonumber(newest) then newest = jobs[#jobs] end

local function seq_at(index)
  local first = jobs[2] or '+inf'
  local before = call('ZCOUNT', turns, '-inf', '(' .. first)
  if index < before then return call('ZRANGE', turns, index, index, 'WITHSCORES')[2] end
  -- Few: turns of jobs that were canceled before those in front of them have ended
  local rest = call('ZRANGEBYSCORE', turns, first, '+inf', 'WITHSCORES')
  local seqs = {}
  for _, all in ipairs({ rest, jobs }) do
    for i = 2, #all, 2 do seqs[#seqs + 1] = tonumber(all[i]) end
  end
  table.sort(seqs)
  local seq = seqs[index - before + 1]
  return seq and string.format('%.0f', seq)
end

local plan = { newest, ARGV[3] ~= '' and seq_at(tonumber(ARGV[3])) or '' }
for _, each in ipairs(jobs) do plan[#plan + 1] = each end
return plan
