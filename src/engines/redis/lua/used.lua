-- What attempts came to, in the commit that ends them: records of each tenant, and sums of the day by group, eight
-- numbers each. See protocol/usage.ts. Numbers are exact up to 2^53. Included by the commit's script.

local USED = '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$'
local USED_FORMAT = '%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f'

local function used_sum(stored, added)
  local a, b, c, d, e, f, g, h = string.match(stored, USED)
  if not a then return added end
  local i, j, k, l, m, n, o, p = string.match(added, USED)
  return string.format(USED_FORMAT, a + i, b + j, c + k, d + l, e + m, f + n, g + o, h + p)
end

-- `added`: of each group, in its order.
local function used_add(day, groups, added)
  local key = S .. ':use:' .. day
  local stored, pairs, new = read_all(key, groups), {}, {}
  for i, group in ipairs(groups) do
    local before, n = stored[i], #pairs
    pairs[n + 1], pairs[n + 2] = group, before and used_sum(before, added[i]) or added[i]
    if not before then
      n = #new
      new[n + 1], new[n + 2] = 0, group
    end
  end
  if #new > 0 then
    write_all('ZADD', key .. ':g', new)
    call('ZADD', S .. ':use:days', 0, day)
  end
  write_all('HSET', key, pairs)
end
