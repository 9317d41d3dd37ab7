import './style/tokens.css'
import './style/base.css'
import './style/shell.css'
import './style/parts.css'
import { render } from 'preact'
import { listenToKeys } from './keys.ts'
import { followLinks } from './router.ts'
import { signIn } from './session.ts'
import { Shell } from './shell.tsx'
import { startSocket } from './socket.ts'
import { applyTheme } from './theme.ts'

applyTheme()
followLinks()
listenToKeys()
startSocket()
void signIn()
render(<Shell />, document.getElementById('page') as HTMLElement)
