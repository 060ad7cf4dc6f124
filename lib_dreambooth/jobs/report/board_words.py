"""The words of the text for boards, in each language."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BoardWords:
    """Headings and labels; `pictures` takes a count and a name, `repeated` a number of repeats."""

    colon: str
    source: str
    preparation: str
    settings: str
    calling: str
    result: str
    base: str
    family: str
    training: str
    classes: str
    pictures: str
    repeated: str
    tags: str
    resolution: str
    kind: str
    rates: str
    optimizer: str
    schedule: str
    batch: str
    length: str
    steps: str
    seed: str
    others: str
    prompt: str
    trigger: str
    choose: str
    file: str
    ended: str
    loss: str
    done: str
    cancelled: str
    failed: str
    interrupted: str
    unknown: str


EN = BoardWords(
    colon=": ",
    source="Source",
    preparation="Preparation",
    settings="Settings",
    calling="How to call it",
    result="Result",
    base="Base model",
    family="Family",
    training="Training pictures",
    classes="Class pictures",
    pictures="{count} ({name})",
    repeated="{count} times each",
    tags="Most frequent tags",
    resolution="Resolution",
    kind="Kind",
    rates="Learning rate",
    optimizer="Optimizer",
    schedule="Schedule",
    batch="Batch x accumulation",
    length="Length",
    steps="{done} of {total} steps",
    seed="Seed",
    others="Other settings",
    prompt="In the prompt",
    trigger="Trigger words",
    choose="Choose this checkpoint",
    file="File",
    ended="Outcome",
    loss="Smoothed loss",
    done="done",
    cancelled="cancelled",
    failed="failed",
    interrupted="interrupted",
    unknown="not known",
)
JA = BoardWords(
    colon=":",
    source="元モデル",
    preparation="素材の準備",
    settings="学習設定",
    calling="呼び出し方",
    result="結果",
    base="ベースモデル",
    family="系統",
    training="学習画像",
    classes="正則化画像",
    pictures="{count}枚({name})",
    repeated="各{count}回",
    tags="多いタグ",
    resolution="解像度",
    kind="種類",
    rates="学習率",
    optimizer="オプティマイザ",
    schedule="スケジューラ",
    batch="バッチ×勾配累積",
    length="長さ",
    steps="{total}ステップ中{done}ステップ",
    seed="シード",
    others="その他の設定",
    prompt="プロンプト",
    trigger="トリガーワード",
    choose="このチェックポイントを選択",
    file="ファイル",
    ended="終わり方",
    loss="平滑化した損失",
    done="完了",
    cancelled="中止",
    failed="失敗",
    interrupted="中断",
    unknown="不明",
)
ZH = BoardWords(
    colon=":",
    source="底模",
    preparation="素材准备",
    settings="训练参数",
    calling="使用方法",
    result="结果",
    base="基础模型",
    family="系列",
    training="训练图片",
    classes="正则化图片",
    pictures="{count}张({name})",
    repeated="每张重复{count}次",
    tags="最常见的标签",
    resolution="分辨率",
    kind="类型",
    rates="学习率",
    optimizer="优化器",
    schedule="调度器",
    batch="批量×梯度累积",
    length="长度",
    steps="共{total}步,完成{done}步",
    seed="种子",
    others="其他设置",
    prompt="提示词",
    trigger="触发词",
    choose="选择此大模型",
    file="文件",
    ended="状态",
    loss="平滑后的损失",
    done="完成",
    cancelled="已取消",
    failed="失败",
    interrupted="中断",
    unknown="未知",
)
KO = BoardWords(
    colon=": ",
    source="원본 모델",
    preparation="자료 준비",
    settings="학습 설정",
    calling="사용 방법",
    result="결과",
    base="기반 모델",
    family="계열",
    training="학습 이미지",
    classes="정규화 이미지",
    pictures="{count}장({name})",
    repeated="각 {count}회",
    tags="자주 나온 태그",
    resolution="해상도",
    kind="종류",
    rates="학습률",
    optimizer="옵티마이저",
    schedule="스케줄러",
    batch="배치 x 그래디언트 누적",
    length="길이",
    steps="{total}스텝 중 {done}스텝",
    seed="시드",
    others="기타 설정",
    prompt="프롬프트",
    trigger="트리거 단어",
    choose="이 체크포인트를 선택",
    file="파일",
    ended="종료 상태",
    loss="평활화한 손실",
    done="완료",
    cancelled="취소됨",
    failed="실패",
    interrupted="중단됨",
    unknown="알 수 없음",
)
LANGUAGES = {"en": EN, "ja": JA, "zh": ZH, "ko": KO}
